"""The command line: what it prints, what it returns."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cupysoft
from cupysoft import cli, demo, demo_attention
from cupysoft.ops.ladder import RUNGS, Rung
from cupysoft.ops.warmup_attention import kernels_of_attention
from cupysoft.simulator import Device
from cupysoft.tables import text_table

ROOT = Path(__file__).parent.parent


def test_info_names_versions_devices_compiler_and_cache(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info"]) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("versions", "numpy", "devices", "nvrtc", "cache", "folder", "bytes"))
    assert np.__version__ in text


def test_info_is_json_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["versions"]["numpy"] == np.__version__
    assert 90 in found["nvrtc"]["architectures"]
    assert found["cache"]["bytes"] >= 0


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: rung.kernel)
def test_walks_over_the_row_are_as_the_lesson_says(rung: Rung) -> None:
    expected = {"ladder_naive": (1, 2), "ladder_three": (3, 0), "ladder_two": (2, 0)}
    x = np.random.default_rng(0).normal(size=(5, 37)).astype(np.float32)
    with Device(check=True) as device:
        demo.ladder_softmax(rung, x, device)
    counted = device.report.kernels[rung.kernel].arguments
    scratch = counted["scratch"].walks_read if "scratch" in counted else 0
    assert (counted["x"].walks_read, scratch) == expected.get(rung.kernel, (1, 0))
    tail = device.report.kernels.get("ladder_tail")
    assert (tail is not None) == rung.needs_tail
    if tail is not None:
        assert (tail.arguments["x"].walks_read, tail.arguments["y"].walks_written) == (1, 1)


def test_the_ladder_teaches_its_lesson() -> None:
    right = {measured.kernel: measured.right for measured in demo.ladder()}
    assert right["ladder_naive"] == (True, True, False)  # 90 and 1000 overflow
    assert right["ladder_misprint"][1] is False  # [1, 3, 2]
    assert all(all(right[kernel]) for kernel in ("ladder_three", "ladder_two", "ladder_online"))


def test_the_misprint_shows_only_where_the_maximum_moves() -> None:
    rung = next(rung for rung in RUNGS if rung.kernel == "ladder_misprint")
    with Device(check=True) as device:
        falling = demo.ladder_softmax(rung, np.array([[3.0, 2.0, 1.0]], np.float32), device)
    np.testing.assert_allclose(falling, [[0.66524096, 0.24472847, 0.09003057]], rtol=1e-6)


def test_demo_compares_every_backend(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [rung["kernel"] for rung in found["ladder"]] == [rung.kernel for rung in RUNGS]
    seen = {(each["backend"].split()[0], each["operation"]) for each in found["comparisons"]}
    operations = ("softmax", "log_softmax", "logsumexp")
    assert seen >= {(backend, operation) for backend in ("host", "simulated") for operation in operations}
    assert all(each["differ_scipy"] == each["differ_reference"] == 0 for each in found["comparisons"])


def test_demo_compares_attention(capsys: pytest.CaptureFixture[str]) -> None:
    """Here on the host and a simulated device: errors like those of the naive composition, in a part of its memory."""
    found = list(demo_attention.attention_compared(list(demo.backends())))
    assert {(each.backend.split()[0], each.dtype) for each in found} >= {
        ("host", "float32"), ("host", "float64"), ("simulated", "float16"), ("simulated", "float32")
    }  # fmt: skip
    for each in found:
        assert each.good
        assert each.extra < each.naive_extra / (3 if each.backend == "host" else 1)
    cli._print_attention(found)
    text = capsys.readouterr().out
    assert all(word in text for word in ("1024 x 1024", "128 x 128", "naive KiB", "float16"))


def test_demo_prints_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo"]) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("naive", "misprinted", "WRONG", "[1, 3, 2]", "bytes/element", "simulated"))


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        (["flint", "llvmlite", "llvmlite.binding"], ["python-flint", "left out"]),
        (["scipy", "scipy.special", "cuda", "cuda.bindings"], ["bits of the true value", "left out"]),
        (["flint", "scipy", "scipy.special"], ["There is nothing to compare with"]),
        (["flint", "scipy", "scipy.special", "llvmlite", "llvmlite.binding", "cuda", "cupy", "ml_dtypes"], ["host"]),
    ],
)
def test_the_demo_runs_with_what_there_is(missing: list[str], says: list[str]) -> None:
    block = f"import sys; sys.modules.update(dict.fromkeys({missing!r}));"
    code = block + "from cupysoft.cli import main; sys.exit(main(['demo']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(words in done.stdout for words in [*says, "softmax"])
    assert done.stderr == ""


def test_compile_fills_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUPYSOFT_CACHE_DIR", str(tmp_path / "cache"))
    words = ["compile", "--arch", "sm_80", "--dtype", "float32", "--operation", "softmax", "--columns", "100"]
    assert cli.main(words) == 0
    assert str(tmp_path / "cache") in capsys.readouterr().out
    assert list((tmp_path / "cache").iterdir())


def test_compile_leaves_out_bfloat16_where_nothing_knows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All types are compiled, but ml_dtypes comes with none of the extras that a GPU or the simulator needs."""
    monkeypatch.setenv("CUPYSOFT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    words = ["compile", "--arch", "sm_80", "--operation", "softmax", "--columns", "10", "--kind", "ptx"]
    assert cli.main(words) == 0
    text = capsys.readouterr()
    assert "softmax_warp<Softmax<float>" in text.out
    assert "Bfloat16" not in text.out
    assert "bfloat16 is left out" in text.err
    assert "pip install ml_dtypes" in text.err
    assert cli.main([*words, "--dtype", "bfloat16"]) == 1


@pytest.mark.parametrize("operation", ["softmax", "attention"])
def test_compile_says_what_an_architecture_looks_like(operation: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compile", "--arch", "hopper", "--operation", operation]) == 1
    assert "arch must look like" in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert cupysoft.__version__ in capsys.readouterr().out


def test_compile_takes_a_shape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUPYSOFT_CACHE_DIR", str(tmp_path / "cache"))
    words = ["compile", "--arch", "sm_80", "--dtype", "complex64", "--operation", "logsumexp", "--kind", "ptx"]
    assert cli.main([*words, "--shape", "3,4,5", "--axis=0,2", "--b", "5", "--return-sign"]) == 0
    assert "logsumexp_complex<float" in capsys.readouterr().out
    assert cli.main([*words, "--return-sign"]) == 1
    assert "--return-sign belong to --shape" in capsys.readouterr().err


def test_compile_knows_attention(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUPYSOFT_CACHE_DIR", str(tmp_path / "cache"))
    words = ["compile", "--arch", "sm_80", "--kind", "ptx"]
    assert cli.main([*words, "--operation", "attention", "--dtype", "float16"]) == 0
    text = capsys.readouterr().out
    names = {line.split("sm_80 ")[1] for line in text.splitlines() if " sm_80 " in line}
    shapes = [((2, 2, queries, dim), (2, 2, 4096, dim)) for dim in (64, 128) for queries in (1, 4096)]
    planned = (kernels_of_attention("sm_80", {"q": q, "k": k, "v": k}, "float16", {}) for q, k in shapes)
    assert names == {kernel.name for kernels in planned for kernel in kernels}
    call = ["--q", "2,4,5,8", "--k", "2,2,7,8", "--mask", "5,7", "--bias", "4,1,7", "--bias-dtype", "float64"]
    assert cli.main([*words, *call, "--precision", "ieee", "--softcap", "3", "--kv-lengths", "2,1"]) == 0
    shapes_of_call = {"q": (2, 4, 5, 8), "k": (2, 2, 7, 8), "v": (2, 2, 7, 8)}
    extra = {"mask": ((5, 7), "?"), "bias": ((4, 1, 7), "f8"), "kv_lengths": ((2, 1), "i8")}
    (kernel,) = kernels_of_attention("sm_80", shapes_of_call, "float32", extra, precision="ieee", softcap=3)
    assert f"sm_80 {kernel.name}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--mask", "5,7"], "compile: a call of attention is described by --q and --k"),
        (["--q", "5,8", "--k", "7,8", "--shape", "3"], "compile: --q and what goes with it describe attention"),
        (["--q", "5,8", "--k", "7,9"], "compile: k has head_dim 9"),
    ],
)
def test_what_does_not_describe_attention_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compile", "--arch", "sm_80", *words]) == 1
    assert message in capsys.readouterr().err


def test_a_mistake_is_one_line_and_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compile", "--arch", "sm_90", "--operation", "softmix"]) == 1
    text = capsys.readouterr().err
    assert "softmix" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("words", [["--shape", "3,x"], ["--shape", "3,4", "--axis", "q"]])
def test_words_that_are_no_integers_are_shown(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["compile", "--arch", "sm_90", *words])
    assert ended.value.code == 2
    assert "does not list integers, as 8,64,100 does" in capsys.readouterr().err


def test_the_module_runs_as_a_command() -> None:
    done = subprocess.run([sys.executable, "-m", "cupysoft", "info"], capture_output=True, text=True, check=True)
    assert "nvrtc" in done.stdout


def test_columns_of_a_table_are_aligned() -> None:
    text = text_table(["name", "n"], [["a", 1], ["bcd", 100]])
    assert text.splitlines() == ["name    n", "----  ---", "a       1", "bcd   100"]


def test_messages_name_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compile", "--arch", "sm_90", "--columns", "0"]) == 1
    assert capsys.readouterr().err.startswith("cupysoft: compile: columns holds 0;")
