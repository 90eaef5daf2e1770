"""Choosing experts: the gate, the record of what routers decided, and statistics over records."""

from .records import RouterRecord, RouterTrace, record_routing, task_context, trace_routing
from .statistics import LayerRouting, RoutingStats
from .top_k_gate import Routing, TopKGate

__all__ = [
    'LayerRouting',
    'RouterRecord',
    'RouterTrace',
    'Routing',
    'RoutingStats',
    'TopKGate',
    'record_routing',
    'task_context',
    'trace_routing',
]
