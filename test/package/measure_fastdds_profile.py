"""
Measure `config/fastdds.xml`: images of two processes with the profile on both, one or no side.

Run it as `python test/package/measure_fastdds_profile.py` on an otherwise idle machine; it takes
about one and a half minutes and prints a markdown table.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from moe3d_ros.fastdds_profile import FAST_DDS_2_VARIABLE
from moe3d_ros.fastdds_profile import FAST_DDS_3_VARIABLE
from moe3d_ros.fastdds_profile import fast_dds_environment

IMAGE_BYTES = 640 * 480 * 3
RATE_HZ = 20.0
COUNT = 100
SIDES = {  # name -> (receiver has the profile, sender has it)
    'none': (False, False),
    'both': (True, True),
    'receiver only': (True, False),
    'sender only': (False, True),
}

RECEIVER = """
import dataclasses, json, sys
from moe3d_ros.tools.link_check import measure_link
size, rate, count, reliability, environment = json.loads(sys.argv[1])
print(json.dumps(dataclasses.asdict(measure_link(size, rate, count, reliability, environment))))
"""


def environment(has_profile: bool) -> dict[str, str]:
    """Return this environment with or without the profile."""
    variables = (FAST_DDS_2_VARIABLE, FAST_DDS_3_VARIABLE)
    plain = {key: value for key, value in os.environ.items() if key not in variables}
    plain.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    return plain | fast_dds_environment(plain) if has_profile else plain


def main() -> None:
    """Print one row per reliability and side."""
    print(f'{IMAGE_BYTES} bytes, {RATE_HZ:g} Hz, {COUNT} messages\n')
    print('| reliability | profile on | received | median ms |\n|---|---|---|---|')
    for reliability in ('best_effort', 'reliable'):
        for name, (at_receiver, at_sender) in SIDES.items():
            job = [IMAGE_BYTES, RATE_HZ, COUNT, reliability, environment(at_sender)]
            result = subprocess.run(
                [sys.executable, '-c', RECEIVER, json.dumps(job)],
                env=environment(at_receiver),
                stdout=subprocess.PIPE,
                check=True,
            )
            report = json.loads(result.stdout)
            latency = '-' if report['median_ms'] is None else f'{report["median_ms"]:.1f}'
            received = f'{report["received"]} of {report["sent"]}'
            print(f'| {reliability} | {name} | {received} | {latency} |', flush=True)


if __name__ == '__main__':
    main()
