# SPDX-License-Identifier: BSD-3-Clause
"""Repeating: rerun, bundle and bisect, on simulated switches and, where it is built, the null switch."""

import functools
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness import bisect, bundle, cli, figures, results, run
from harness.cell import Cell
from harness.errors import BadInput
from harness.sim import SimulatedTestbed, simulated_up
from harness.tests.support import executable, seeded, write

SCENARIO = """
name = "s"
[matrix]
topology = "p2p"
switch = "testpmd"
[search]
trials = 1
[repeat]
blocks = 8
"""
needs_gnuplot = pytest.mark.skipif(shutil.which("gnuplot") is None, reason="gnuplot is not installed")
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch, runtime: Path) -> dict[str, float]:
    """Runs of the command line measure a switch of speed["pps"]."""
    speed = {"pps": 5e6}

    @contextmanager
    def up(cell: Cell, setup: object, logs: Path) -> Iterator[SimulatedTestbed]:
        yield SimulatedTestbed(cell, 5e6 if cell.scenario == "anchor" else speed["pps"])
    monkeypatch.setattr(run, "run", functools.partial(run.run, up=up))
    monkeypatch.setattr(figures, "draw", lambda folder: [])
    return speed


def measured(tmp_path: Path, *more: str) -> Path:
    """The folder of a run of the command line."""
    file = write(tmp_path / "scenarios" / "s.toml", SCENARIO)
    assert cli.main(["run", str(file), "--out", str(tmp_path / "out"), *more]) == 0
    return max((tmp_path / "out").iterdir(), key=lambda p: p.stat().st_mtime_ns)


# ---- run --resume and rerun ----------------------------------------------------------------------------------------

def test_a_run_goes_on_from_its_folder_alone(tmp_path: Path, simulated: dict[str, float],
                                             capsys: pytest.CaptureFixture[str]) -> None:
    folder = measured(tmp_path)
    text = (folder / "blocks.csv").read_bytes().splitlines(keepends=True)
    (folder / "blocks.csv").write_bytes(b"".join(text[:-3]))
    shutil.rmtree(tmp_path / "scenarios")           # the text stands in run.json
    capsys.readouterr()
    assert cli.main(["run", "--resume", str(folder)]) == 0
    assert capsys.readouterr().out.count("] block ") == 3
    assert not results.read(folder).warnings
    about = json.loads((folder / "run.json").read_text())
    assert len(about["resumed"]) == 1 and about["run_id"] == folder.name


@pytest.mark.parametrize("arguments, why", [(["run"], "which scenario"), (["run", "--resume", "nowhere"], "run.json"),
                                            (["rerun", "nowhere"], "run.json"),
                                            (["bundle", "nowhere"], "no such folder")])
def test_bad_input_is_a_sentence(arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    assert why in capsys.readouterr().err


@pytest.mark.parametrize("factor, status, word", [(1.0, 0, "equivalent in 1"), (0.9, 3, "slower in 1"),
                                                  (1.1, 0, "faster in 1")])
def test_a_rerun_measures_the_same_and_compares(factor: float, status: int, word: str, tmp_path: Path,
                                                simulated: dict[str, float],
                                                capsys: pytest.CaptureFixture[str]) -> None:
    first = measured(tmp_path, "--switch", "mine=testpmd", "--blocks", "9")
    write(tmp_path / "scenarios" / "s.toml", SCENARIO.replace("p2p", "nonsense"))     # not what was measured
    simulated["pps"] *= factor
    assert cli.main(["rerun", str(first)]) == status
    assert word in capsys.readouterr().out
    one, other = (json.loads((folder / "run.json").read_text()) for folder in sorted((tmp_path / "out").iterdir()))
    for key in ("sources", "cells", "order", "plan", "fingerprint", "request"):
        assert one[key] == other[key], key


@pytest.mark.parametrize("blocks, said", [("3", True), ("4", False)])
def test_a_rerun_that_can_decide_nothing_says_so_beforehand(blocks: str, said: bool, tmp_path: Path,
                                                            simulated: dict[str, float],
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    first = measured(tmp_path, "--switch", "mine=testpmd", "--blocks", blocks)
    capsys.readouterr()
    cli.main(["rerun", str(first)])
    out, err = capsys.readouterr()
    assert ("can only be inconclusive" in out + err) == said


def test_a_rerun_on_another_machine_is_refused_before_anything_is_measured(tmp_path: Path, simulated: dict[str, float],
                                                                           capsys: pytest.CaptureFixture[str]) -> None:
    folder = measured(tmp_path)
    about = json.loads((folder / "run.json").read_text())
    write(folder / "run.json", json.dumps({**about, "machine": {**about["machine"], "kernel": "2.4.20"}}))
    assert cli.main(["rerun", str(folder)]) == 2
    assert "(kernel)" in capsys.readouterr().err and len(list((tmp_path / "out").iterdir())) == 1
    assert cli.main(["rerun", str(folder), "--any-machine"]) == 0


def test_run_json_holds_what_it_takes_to_repeat(tmp_path: Path, runtime: Path) -> None:
    from harness import bed, environment
    from harness.tests.support import cells_of_text
    folder, _ = run.run("t", cells_of_text(tmp_path, SCENARIO.replace('name = "s"', "")), bed.load(None),
                        tmp_path / "out",
                        lambda line: None, {"s.toml": "text"}, up=simulated_up(5e6))
    about = json.loads((folder / "run.json").read_text())
    assert {"sources", "plan", "order", "request", "versions", "machine", "environment", "testbed", "command", "cells",
            "fingerprint", "schema_version"} <= set(about)
    assert any("dpdk-testpmd" in line for lines in about["plan"].values() for line in lines)
    found = environment.of(run.BUILD, bed.load(None))
    json.dumps(found)
    assert {"lscpu", "caches", "hugepages", "build", "packages", "qemu", "guest", "dpdk", "cpu_settings"} <= set(found)
    assert found["python"] and found["host"]


def test_a_rerun_is_quiet_and_takes_another_version_of_one_switch(tmp_path: Path, simulated: dict[str, float],
                                                                  capsys: pytest.CaptureFixture[str]) -> None:
    first = measured(tmp_path, "--switch", "mine=testpmd", "--switch", "other=testpmd")
    capsys.readouterr()
    assert cli.main(["rerun", str(first), "--quiet", "--json", "--switch", "mine=testpmd@/opt"]) == 0
    out, err = capsys.readouterr()
    [row] = json.loads(out)["rows"]
    assert row["switch_a"] == row["switch_b"] == "mine" and row["verdict"] == "equivalent" and "[1/" not in err
    [new] = {p.name for p in (tmp_path / "out").iterdir()} - {first.name}
    assert row["run_b"] == new
    assert cli.main(["rerun", str(first), "--switch", "nobody=testpmd"]) == 2
    assert "no switch of this name" in capsys.readouterr().err


# ---- recordings ----------------------------------------------------------------------------------------------------

REPLAYING = SCENARIO.replace("blocks = 8", "blocks = 6").replace(
    'trials = 1\n', 'trials = 1\nkind = "fixed"\nrate_pps = 1e6\n')


def replaying(tmp_path: Path, content: str = "frames") -> Path:
    """A run that replays a file which lies beside the folder of its scenario."""
    write(tmp_path / "data" / "a.pcap", content)
    text = REPLAYING + '[traffic.replay]\nfile = "../data/a.pcap"\ntiming = "rate"\n'
    file = write(tmp_path / "scenarios" / "r.toml", text)
    assert cli.main(["run", str(file), "--out", str(tmp_path / "out")]) == 0
    return max((tmp_path / "out").iterdir(), key=lambda p: p.stat().st_mtime_ns)


def unpacked(archive: Path, into: Path) -> Path:
    """The one folder of an archive, of which nothing lies elsewhere."""
    with tarfile.open(archive) as opened:
        names = opened.getnames()
        assert all(m.isfile() for m in opened.getmembers())
        assert not any(n.startswith("/") or ".." in Path(n).parts for n in names) and len(set(names)) == len(names)
        opened.extractall(into)
    [top] = into.iterdir()
    return top


def test_a_bundle_holds_what_was_replayed_and_measures_again_elsewhere(tmp_path: Path, simulated: dict[str, float],
                                                                       capsys: pytest.CaptureFixture[str]) -> None:
    folder = replaying(tmp_path)
    [(name, said)] = json.loads((folder / "run.json").read_text())["replayed"].items()
    assert Path(name).name == "a.pcap" and said["size_bytes"] == 6
    assert cli.main(["bundle", str(folder), "--out", str(tmp_path / "b.tar.gz")]) == 0
    top = unpacked(tmp_path / "b.tar.gz", tmp_path / "elsewhere")
    assert (top / "data" / "replayed" / said["sha256"]).read_text() == "frames"
    for gone in ("data", "scenarios", "out"):
        shutil.rmtree(tmp_path / gone)
    capsys.readouterr()
    assert cli.main(["rerun", str(top / "data"), "--out", str(tmp_path / "new")]) == 0
    assert "equivalent" in capsys.readouterr().out
    (top / "data" / "replayed" / said["sha256"]).write_text("others")
    assert cli.main(["rerun", str(top / "data"), "--out", str(tmp_path / "new")]) == 2
    assert "no such file" in capsys.readouterr().err


def test_another_file_under_the_same_name_is_neither_packed_nor_replayed(tmp_path: Path, simulated: dict[str, float],
                                                                         capsys: pytest.CaptureFixture[str],
                                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    folder = replaying(tmp_path)
    write(tmp_path / "data" / "a.pcap", "others")
    assert cli.main(["bundle", str(folder), "--out", str(tmp_path / "b.tar.gz")]) == 0
    assert "another one than it was: not packed" in capsys.readouterr().err
    assert not list(unpacked(tmp_path / "b.tar.gz", tmp_path / "x").glob("data/replayed/*"))
    for command in (["rerun", str(folder)], ["run", "--resume", str(folder)]):
        assert cli.main(command) == 2, command
        assert "a.pcap" in (err := capsys.readouterr().err) or "plan is another one" in err
    write(tmp_path / "data" / "a.pcap", "frames")
    monkeypatch.setattr(bundle, "REPLAYED_MAX_BYTES", 5)
    assert cli.main(["bundle", str(folder), "--out", str(tmp_path / "b.tar.gz")]) == 0
    assert "not packed; give it along" in capsys.readouterr().err


IMAGE = SCENARIO.replace('"p2p"', '"p2v"\nguest = "qemu"').replace("blocks = 8", "blocks = 1") + (
    '[guest]\nimage = "../images/own.img"\n')


def test_an_image_beside_the_scenario_is_found_from_a_copy_of_it_and_must_be_the_same(
        tmp_path: Path, simulated: dict[str, float], capsys: pytest.CaptureFixture[str]) -> None:
    image = write(tmp_path / "images" / "own.img", "a system")
    file = write(tmp_path / "scenarios" / "i.toml", IMAGE)
    assert cli.main(["run", str(file), "--out", str(tmp_path / "out")]) == 0
    [first] = (tmp_path / "out").iterdir()
    write(file, IMAGE.replace("p2v", "nonsense"))       # so that it is measured from a copy, and that one from its own
    assert cli.main(["rerun", str(first), "--out", str(tmp_path / "again")]) == 4
    [second] = (tmp_path / "again").iterdir()
    assert cli.main(["rerun", str(second), "--out", str(tmp_path / "third")]) == 4
    assert "build or version of image" not in capsys.readouterr().out
    [third] = (tmp_path / "third").iterdir()
    one, *others = (json.loads((folder / "run.json").read_text()) for folder in (first, second, third))
    for other in others:
        for key in ("images", "fingerprint", "cells"):
            assert one[key] == other[key], key
        assert any(f"{image}," in line or "own.img," in line for lines in other["plan"].values() for line in lines)
    assert [Path(said["path"]) for said in one["images"].values()] == [image.resolve()]
    assert cli.main(["bundle", str(first), "--out", str(tmp_path / "b.tar.gz")]) == 0
    assert "own.img' is not packed" in capsys.readouterr().err
    write(image, "another system")
    assert cli.main(["rerun", str(first), "--out", str(tmp_path / "new")]) == 2
    assert "own.img is not there any more as the image that was booted" in capsys.readouterr().err


def test_images_of_one_file_name_in_two_folders_are_told_apart() -> None:
    assert run._short(["/i/a/debian.qcow2", "/i/b/debian.qcow2", "/i/c.img"]) == {
        "a/debian.qcow2": "/i/a/debian.qcow2", "b/debian.qcow2": "/i/b/debian.qcow2", "c.img": "/i/c.img"}
    assert run._short(["x/debian.qcow2"]) == {"debian.qcow2": "x/debian.qcow2"} and run._short([]) == {}


def test_a_hostile_bundle_stays_in_its_folder(tmp_path: Path, simulated: dict[str, float],
                                              capsys: pytest.CaptureFixture[str]) -> None:
    """Names in run.json that lead out of the folder, links, a recording that is a file of this machine."""
    folder = replaying(tmp_path)
    secret = write(tmp_path / "secret", "secret")
    about = json.loads((folder / "run.json").read_text())
    about["sources"] |= {"../../../../../../../../../../../../../up.toml": "x", "/abs.toml": "y", "a\nb\\c": "z"}
    about |= {"run_id": "../../../evil", "name": "../../evil", "replayed": {
        "../../../../../../../../../../../../../../../x": {"path": str(secret), "sha256": "0" * 64},
        str(secret): {"path": str(secret), "sha256": "../../../secret"}, "y": 7}}
    (folder / "run.json").write_text(json.dumps(about))
    (folder / "logs" / "link").symlink_to(secret)
    (folder / "logs" / "links").symlink_to(tmp_path / "data")
    before = sorted(p for p in tmp_path.rglob("*") if folder not in p.parents)
    assert cli.main(["bundle", str(folder), "--out", str(tmp_path / "b.tar.gz")]) == 0
    top = unpacked(tmp_path / "b.tar.gz", tmp_path / "inside")
    assert not any(p.is_file() and p.read_bytes() in (b"secret", b"frames") for p in top.rglob("*"))
    capsys.readouterr()
    assert cli.main(["rerun", str(top / "data"), "--out", str(tmp_path / "new")]) == 2
    assert "Traceback" not in capsys.readouterr().err
    after = sorted(p for p in tmp_path.rglob("*") if folder not in p.parents and (tmp_path / "inside") not in p.parents)
    assert set(after) - set(before) <= {tmp_path / "b.tar.gz", tmp_path / "inside", tmp_path / "new"}


# ---- bundle --------------------------------------------------------------------------------------------------------

@needs_gnuplot
def test_a_bundle_draws_the_same_figures_elsewhere(tmp_path: Path, simulated: dict[str, float],
                                                   monkeypatch: pytest.MonkeyPatch,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    folder = measured(tmp_path)
    monkeypatch.undo()
    figures.draw(folder)
    one, other = tmp_path / "one.tar.gz", tmp_path / "other.tar.gz"
    for path in (one, other):
        assert cli.main(["bundle", str(folder), "--out", str(path)]) == 0
    assert one.read_bytes() == other.read_bytes()
    with tarfile.open(one) as archive:
        archive.extractall(tmp_path / "elsewhere")
    [top] = (tmp_path / "elsewhere").iterdir()
    sums = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=top, capture_output=True, text=True,
                          check=False)
    assert sums.returncode == 0, sums.stdout
    drawn = {p.name: p.read_bytes() for p in (top / "data" / "figures").glob("*.svg")}
    shutil.rmtree(folder)
    shutil.rmtree(top / "data" / "figures")
    done = subprocess.run([str(top / "draw.sh")], capture_output=True, text=True, check=False,
                          env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert drawn == {p.name: p.read_bytes() for p in (top / "data" / "figures").glob("*.svg")} and drawn
    readme = (top / "ARTEFACT.md").read_text()
    assert "./draw.sh" in readme and "rerun data" in readme and "s.toml" in readme
    assert [p.read_text() for p in (top / "asked").iterdir()] == [SCENARIO]


def test_a_bundle_is_not_packed_into_itself(tmp_path: Path, simulated: dict[str, float]) -> None:
    folder = measured(tmp_path)
    with pytest.raises(BadInput, match="own folder"):
        bundle.pack(results.read(folder), folder / "x.tar.gz")


# ---- bisect --------------------------------------------------------------------------------------------------------

def test_the_first_bad_version_is_found_in_few_steps() -> None:
    r = seeded()
    for _ in range(500):
        versions = [f"v{i}" for i in range(r.randint(1, 200))]
        bad = r.randrange(len(versions))
        asked: list[str] = []

        def judge(version: str) -> str:
            asked.append(version)
            return bisect.BAD if versions.index(version) >= bad else bisect.GOOD
        assert bisect.first_bad(versions, judge) == [versions[bad]]
        assert len(asked) == len(set(asked)) <= len(versions).bit_length()


def test_what_cannot_be_tested_is_gone_round() -> None:
    r = seeded()
    for _ in range(500):
        versions = [f"v{i}" for i in range(r.randint(1, 60))]
        bad = r.randrange(len(versions))
        broken = {v for v in versions if r.random() < 0.3}
        asked: list[str] = []

        def judge(version: str) -> str:
            asked.append(version)
            return bisect.SKIP if version in broken else bisect.BAD if versions.index(version) >= bad else bisect.GOOD
        found = bisect.first_bad(versions, judge)
        assert versions[bad] in found and len(asked) == len(set(asked))
        assert set(found[:-1]) <= broken            # everything else in doubt would have been asked for


class Versions:
    """A folder with a command that selects a version, and versions of some speed."""

    def __init__(self, folder: Path, speed: dict[str, float], pps: dict[str, float], status: str = "exit 0") -> None:
        self.folder, self.speed = folder, pps
        self.select = executable(folder / "select", '#!/bin/sh\necho "$1 $VSWBENCH_VERSION" >>log\n'
                                 f'echo "$1" >placed\n{status}\n')
        write(folder / "versions", "\n".join(speed))
        self.speeds = speed

    def bisect(self, tmp_path: Path, good: str, bad: str, monkeypatch: pytest.MonkeyPatch, *more: str) -> int:
        before = run.run

        def placed(*arguments: Any, **named: Any) -> Any:
            self.speed["pps"] = self.speeds[(self.folder / "placed").read_text().strip()]
            return before(*arguments, **named)
        monkeypatch.setattr(run, "run", placed)
        monkeypatch.chdir(self.folder)
        file = write(tmp_path / "s.toml", SCENARIO)
        return cli.main(["bisect", str(file), "--good", good, "--bad", bad, "--versions", str(self.folder / "versions"),
                         "--command", f"{self.select} {{}}", "--blocks", "6", "--out", str(tmp_path / "out"), *more])


def test_bisect_finds_the_first_slow_version(tmp_path: Path, simulated: dict[str, float],
                                             monkeypatch: pytest.MonkeyPatch,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    speeds = {f"v{i}": 5e6 if i < 6 else 4.6e6 for i in range(10)}
    versions = Versions(tmp_path / "w", speeds, simulated)
    assert versions.bisect(tmp_path, "v0", "v9", monkeypatch) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "first bad version: v6"
    log = (tmp_path / "w" / "log").read_text().splitlines()
    assert log[:2] == ["v0 v0", "v9 v9"] and len(log) <= 2 + 4


@pytest.mark.parametrize("status, found, code", [
    ('[ "$1" = v4 ] && exit 125; exit 0', "first bad version: v6", 0),
    ('[ "$1" = v5 ] && exit 125; exit 0', "one of 2", 4),
    ('[ "$1" = v3 ] && exit 1; exit 0', "first bad version: v3", 0)], ids=["skip", "skip at the edge", "bad by itself"])
def test_the_commands_exit_status_is_that_of_git_bisect_run(status: str, found: str, code: int, tmp_path: Path,
                                                            simulated: dict[str, float],
                                                            monkeypatch: pytest.MonkeyPatch,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    speeds = {f"v{i}": 5e6 if i < 6 else 4.6e6 for i in range(7)}
    assert Versions(tmp_path / "w", speeds, simulated, status).bisect(tmp_path, "v0", "v6", monkeypatch) == code
    assert found in capsys.readouterr().out.splitlines()[-1]


def test_a_command_that_asks_for_the_end_is_obeyed(tmp_path: Path, simulated: dict[str, float],
                                                   monkeypatch: pytest.MonkeyPatch,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    speeds = {"v0": 5e6, "v1": 5e6, "v2": 4e6}
    versions = Versions(tmp_path / "w", speeds, simulated, '[ "$1" = v1 ] && exit 128; exit 0')
    assert versions.bisect(tmp_path, "v0", "v2", monkeypatch) == 1
    assert "status 128 for v1" in capsys.readouterr().err


def test_a_bad_version_that_is_not_slow_is_nothing_to_look_for(tmp_path: Path, simulated: dict[str, float],
                                                               monkeypatch: pytest.MonkeyPatch,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    assert Versions(tmp_path / "w", {"v0": 5e6, "v1": 5e6}, simulated).bisect(tmp_path, "v0", "v1", monkeypatch) == 4
    assert "not slower" in capsys.readouterr().out


def test_bad_arguments_of_bisect_are_sentences(tmp_path: Path, simulated: dict[str, float],
                                               monkeypatch: pytest.MonkeyPatch,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    versions = Versions(tmp_path / "w", {"v0": 5e6, "v1": 5e6}, simulated)
    for good, bad, more, why in (("v1", "v0", (), "must hold v1 and, behind it, v0"), ("v7", "v1", (), "must hold v7"),
                                 ("v0", "v1", ("--repo", "."), "either --repo DIR or --versions"),
                                 ("v0", "v1", ("--switch", "a=null", "--switch", "b=null"), "one --switch"),
                                 ("v0", "v1", ("--command", "./nowhere"), "cannot be run")):
        assert versions.bisect(tmp_path, good, bad, monkeypatch, *more) == 2
        assert why in capsys.readouterr().err


def test_without_git_a_bisection_names_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match="apt-get install git"):
        bisect.versions_between(tmp_path, None, "a", "b")


@needs_git
def test_versions_of_a_repository_are_its_commits_in_order(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.org",
                               *words],
                              check=True, capture_output=True, text=True).stdout.strip()
    git("init", "-q")
    commits = []
    for i in range(5):
        git("commit", "-q", "--allow-empty", "-m", str(i))
        commits.append(git("rev-parse", "HEAD"))
    assert bisect.versions_between(tmp_path, None, commits[1], commits[4]) == commits[2:]
    for good, bad in ((commits[3], commits[1]), (commits[1], commits[1]), ("nonsense", commits[1])):
        with pytest.raises(BadInput, match="--repo"):
            bisect.versions_between(tmp_path, None, good, bad)


@needs_git
@pytest.mark.parametrize("broken, noisy_at, said, code", [
    (4, None, "first bad version: {6}", 0), (6, None, "one of 2", 4), (None, None, "first bad version: {6}", 0),
    (None, 3, "first bad version: {6}", 0)],
    ids=["cannot be built", "the first bad one cannot be built", "sound", "one cannot be told"])
def test_bisect_of_a_repository_from_end_to_end(broken: int | None, noisy_at: int | None, said: str, code: int,
                                                tmp_path: Path, simulated: dict[str, float],
                                                monkeypatch: pytest.MonkeyPatch,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    """Ten commits, of which the seventh made it 8 % slower; `make` of one fails; one is as noisy as to tell nothing."""
    repo = tmp_path / "repo"

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(repo), "-c", "user.name=x", "-c", "user.email=x@example.org", *words],
                              check=True, capture_output=True, text=True).stdout.strip()
    repo.mkdir()
    git("init", "-q")
    commits = []
    for i in range(10):
        write(repo / "README", f"a switch, {i}")
        write(repo / "speed", f"{5e6 if i < 6 else 4.6e6} {i == noisy_at}")
        write(repo / "Makefile", f"all:\n\t{'false' if i == broken else 'cp speed built'}\n")
        git("add", "-A")
        git("commit", "-q", "-m", str(i))
        commits.append(git("rev-parse", "HEAD"))
    build = executable(tmp_path / "build", '#!/bin/sh\nset -e\ngit checkout -q "$1"\nmake -s || exit 125\n')
    before, r = run.run, seeded()

    def built(*arguments: Any, **named: Any) -> Any:
        speed, is_noisy = (repo / "built").read_text().split()

        @contextmanager
        def up(cell: Cell, setup: object, logs: Path) -> Iterator[SimulatedTestbed]:
            factor = r.choice([0.4, 2.5]) if is_noisy == "True" else r.uniform(0.999, 1.001)
            yield SimulatedTestbed(cell, 5e6 if cell.scenario == "anchor" else float(speed) * factor)
        return before.func(*arguments, **named, up=up)      # type: ignore[attr-defined]
    monkeypatch.setattr(run, "run", built)
    file = write(tmp_path / "s.toml", SCENARIO)
    assert cli.main(["bisect", str(file), "--good", commits[0], "--bad", commits[9], "--repo", str(repo), "--command",
                     f"{build} {{}}", "--blocks", "8", "--out", str(tmp_path / "out")]) == code
    last = capsys.readouterr().out.splitlines()[-1]
    assert (said.replace("{6}", commits[6]) if "{6}" in said else said) in last, last
