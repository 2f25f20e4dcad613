"""Where a program keeps what is its own: address registers, constants in FP_MEM, variables in INT_MEM."""

from __future__ import annotations

A_WEIGHTS, A_KV, A_TABLES, A_LOGITS, A_SPILL, A_PREVIOUS, A_EXPERTS, A_KEPT = range(8)
"""HBM address registers: the weight stream, the layer's KV cache, tables of the moment, logits, spilled rows,
logits of the forward before, the layer's routed experts, outputs of operators that are kept."""

F_ONE, F_MEAN, F_EPSILON, F_SHARE, F_HEAD, F_LINEAR, F_CUBIC = range(7)
"""FP_MEM words with constants: 1, 1 / hidden, the norm's epsilon, 1 / cores, 1 / head_dim, factors of GELU."""
F_SAMPLING = 7
"""First of the constants of a sampling variant."""
F_HUGE, F_TINY = 14, 15
"""A huge power of two and its inverse, for the choice of experts."""
F_SCALE = F_LINEAR
"""What their scores are multiplied by; no model has both experts and GELU."""
FP_SCRATCH = 16
"""First FP_MEM word that is free for sampling."""


class Cell:
    """INT_MEM words with the program's own variables."""

    LAYER = 0
    """Address of the current layer's table row."""
    SLOT = 1
    """First KV scale slot of the layer and group of sequences."""
    KV_WRITE = 2
    """Element offset of the first K row written, in the layer's cache."""
    KV_READ = 3
    """Element offset of the group's first K row."""
    IDS = 4
    """INT_MEM address of the group's first query token."""
    LOGITS = 5
    """Element offset of the group's first logits."""
    ROUND = 7
    """Address of the current round's table row."""
    FORWARD = 8
    """Address of the current forward's table row."""
    TAIL = 9
    """Elements of the last key tile that hold keys."""
    HEAD = 10
    """Vector SRAM elements from the first query row to the first LM-head row."""
    TOKENS = 11
    """INT_MEM address of sequence 0's first LM-head token."""
    COMMITTED = 12
    """Positions of each sequence that take their token after this forward."""
    CORE = 15
    """Index of this core."""
    ROW = 16
    """First query row of the row tile, counted from the forward's first."""
    Q_START = 17
    """Position of the forward's first query row."""
    SPILL_BASE = 18
    """Byte base of the spilled rows: high word, low word."""
    Q_ROWS = 48
    """Query rows of the forward, where its class has several numbers of them."""
    LAST_ROWS = 49
    """Those of the last row tile."""
    HEAD_ROWS = 50
    """LM-head rows of the forward, likewise."""
    LAST_HEAD = 51
    """Those of the last row tile."""
    SAMPLED = 52
    """Rows that are sampled."""
    PAIRS = 53
    """Pairs of them, the last one perhaps of one row."""
    LOOSE = 54
    """Query rows that stand alone."""
    RUN = 55
    """The others."""
    RUNS = 56
    """1 if there are others."""
    RENEWS = 57
    """1 if this forward sets the channel scales of the KV cache, where only the first one does."""
    NEXT_PAGE = 58
    """Page of the weights that follow the LM head, where there are networks beside the model."""
    GIVEN = 62
    """FP_MEM word of the group's first sum of given tokens' logits."""
    POLICY_ROWS = 59
    """Rows that go through the policy network, where forwards of the class have several numbers of them."""
    LAST_POLICY = 60
    """Those of the last row tile."""
    DRAWS = 61
    """Random draws so far, each of a row of logits or of a sequence's rows."""
    KEPT = 46
    """Element offset of what is kept of the layer."""
    LOGIT_PAGES = 44
    """Pages of the logits of this forward and of the one before, where those are kept."""
    PAGES = 33
    """Address of the page of the current layer's experts. This and what follows: one core only, so no peers."""
    ROUTE = 34
    """Address of the next word that points to a list of experts and their rows."""
    ENTRY = 35
    """Address of the current expert's entry in the list."""
    ROWS_AT = 36
    """Address of the current expert's rows."""
    EXPERT_ROWS = 37
    """Number of them."""
    EXPERT = 38
    """Element at which the current expert's matrices begin."""
    NEXT_EXPERT = 39
    """The same of the expert after it."""
    MIX_ROWS = 70
    """Rows of which mixtures are made for the next forward, likewise."""
    LAST_MIX = 63
    """Those of the last row tile."""
    MIX_FIRST = 64
    """The first of them, counted from the first LM-head row."""
    MIX_START = 65
    """Element offset of its logits in a chunk."""
    SOFT_ROWS = 66
    """Query rows that enter as mixtures, likewise."""
    SOFT_START = 67
    """Vector SRAM elements from the first query row to the first of them."""
    MASK_ID = 68
    """The mask token."""
    ACCEPTED = 69
    """Nodes of a tree whose K and V are moved."""
    PEERS = 20
    """Numbers of the other cores, in the order in which this core addresses them."""


LAYER_ROW = 3
"""Words of a layer's table row: bases of weights, of KV, and of biases and gains, if it has any, in pages."""
