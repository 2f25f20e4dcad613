"""KV quantization engine: calibrate, store, fold."""

from __future__ import annotations

import pytest

from tests.system.small import FIRST, LATENCY, LINK, integers, machine, run, serial

PIPELINE, COMMAND = 8, 8


def rows(n: int) -> str:
    return integers(gp1=n, gp2=1, gp3=4096) + "C_SET_V_ROWS gp1, gp2, gp2\n"


@pytest.mark.parametrize("n", [1, 16])
@pytest.mark.parametrize("mnemonic", ["K_CALIB gp0, gp2", "K_FOLD gp3, gp0, gp2"])
def test_a_row_a_cycle_and_the_pipeline(n: int, mnemonic: str) -> None:
    done = serial(rows(n) + mnemonic)
    assert done.cycles == 4 + n + PIPELINE
    assert done.result.units["core0.kv_engine"].busy_cycles == n


@pytest.mark.parametrize("pipeline", [0, 8, 20])
def test_a_store_streams_rows_to_memory(pipeline: int) -> None:
    """16 rows of 34 B are 8.5 cycles of the pipe; they leave from the first row on, so the memory decides."""
    done = serial(rows(16) + "K_STORE gp0, gp0, a0, gp2", machine(kv_engine={"pipeline_cycles": pipeline}))
    assert done.cycles == 4 + pipeline + COMMAND + LINK + 1 + LATENCY + 9
    assert done.result.hbm["write_bytes"] == 16 * 34
    assert done.result.units["core0.kv_engine"].extra == {"stored_bytes": 16 * 34}


def test_a_store_is_not_over_before_its_last_row_has_left() -> None:
    """512 rows take 512 cycles; the memory, without latency, needs 272 and is done long before."""
    done = serial(rows(512) + "K_STORE gp0, gp0, a0, gp2", machine(memory={"latency": 0}))
    assert done.cycles == 4 + 512 + PIPELINE + COMMAND


def test_stores_of_a_head_are_as_wide_as_the_stride() -> None:
    """A stride of 32 elements narrows each of 4 rows to 32: 16 B of codes and one scale."""
    text = rows(4) + integers(gp4=32) + "C_SET_STRIDE_REG gp4\nK_STORE gp0, gp0, a0, gp2"
    assert serial(text).result.hbm["write_bytes"] == 4 * 17


def test_calibrate_store_and_fold_in_the_order_of_their_scales() -> None:
    """Calibration of 16 rows takes 16 cycles and retires 8 later; then the store; the fold waits for the unit only."""
    done = run(rows(16) + "K_CALIB gp0, gp2\nK_STORE gp0, gp0, a0, gp2\nK_FOLD gp3, gp0, gp2")
    start = FIRST + 4
    assert done.starts("K_CALIB") == [start]
    assert done.starts("K_STORE") == [start + 16 + 8]
    assert done.starts("K_FOLD") == [start + 16 + 8 + 16]
    assert done.stalls("kv_engine") == {"operand": 8}


def test_tiles_of_the_cache_wait_for_the_store() -> None:
    """The tile at byte 0 waits until the memory has taken the row; the one behind it does not."""
    text = rows(1) + "K_STORE gp0, gp0, a0, gp2\nH_PREFETCH_M gp0, {}, a0, 0, 1"
    start = FIRST + 4
    assert run(text.format("gp0")).starts("H_PREFETCH_M") == [start + 16 + LINK + 1 + LATENCY + 1]
    assert run(text.format("gp3")).starts("H_PREFETCH_M") == [start + 1]


def test_the_engine_reads_through_port_a() -> None:
    """A vector instruction of another range waits until the 16 rows have passed a port of one row a cycle."""
    text = rows(16) + "K_CALIB gp0, gp2\nC_SET_V_ROWS gp2, gp2, gp2\nV_EXP_V gp3, gp3"
    done = run(text, machine(vector_sram={"rows_per_cycle": 1}))
    assert done.starts("V_EXP_V") == [FIRST + 4 + 16]
    assert done.stalls("vector") == {"sram_port": 14}
