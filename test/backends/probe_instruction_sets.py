"""
Print which instructions OpenVINO and torch take in this process; one line of JSON.

Run by `test_instruction_sets.py`. oneDNN and MKL of torch speak for themselves on the same output.
"""

from __future__ import annotations

import json

from moe3d_engine.assets import find_weights
from moe3d_engine.backends.openvino_backend import precision_here
import openvino
import torch


def main() -> None:
    """Compile a graph as the backend does, compute a convolution and a product, and tell."""
    graph = find_weights('moe3d-small').verified_file('image_encoder')
    core = openvino.Core()
    precision = precision_here(core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES'))
    compiled = core.compile_model(graph, 'CPU', {'INFERENCE_PRECISION_HINT': precision})
    kernels = {
        operation.get_rt_info()['primitiveType'].astype(str)
        for operation in compiled.get_runtime_model().get_ops()
    }
    with torch.inference_mode(), torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
        torch.nn.Conv2d(64, 64, 3)(torch.rand(2, 64, 64, 64))
    torch.rand(128, 128) @ torch.rand(128, 128)
    found = {
        'kernels': sorted(kernels),
        'precision': compiled.get_property('INFERENCE_PRECISION_HINT').get_type_name(),
        'torch': torch.backends.cpu.get_cpu_capability(),
    }
    print('\n' + json.dumps(found), flush=True)


if __name__ == '__main__':
    main()
