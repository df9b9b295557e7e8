"""Rendered image sequences with exact truth, one for each trouble that tracking must survive."""

from moe3d_engine.lab.synthetic.sequences.render import render_sequence
from moe3d_engine.lab.synthetic.sequences.render import Sequence
from moe3d_engine.lab.synthetic.sequences.stand_in import DepthStandIn
from moe3d_engine.lab.synthetic.sequences.troubles import TROUBLES

__all__ = ['TROUBLES', 'DepthStandIn', 'Sequence', 'render_sequence']
