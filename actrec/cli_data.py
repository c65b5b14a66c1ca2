"""``actrec data``: make a manifest of videos, check one, or make one of the built-in videos."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from actrec.data.build import build_manifest, list_videos, paths_to_probe, read_blocks, with_random_val
from actrec.data.checks import check_paths, strings
from actrec.data.counts import not_official
from actrec.data.layouts import LAYOUTS
from actrec.data.manifest import Manifest
from actrec.data.probe import Probe
from actrec.errors import ActrecError
from actrec.printing import list_lines, printable, show_manifest

BUILD = """\
Lists the videos of a data set, decodes each once to see what is in it, and writes a manifest: one row a
video with its class, group and split. A video that does not decode keeps its row, with the reason.

layouts:
  folder   ROOT/<class>/<files>. Without --splits it is cut 60/20/20 into train, validation and test by
           group, so that no group is on two sides. --group-regex says what a group is: clips that share
           people, scene or recording. Without it each video is its own group.
           With --splits DIR, DIR/train.txt, DIR/test.txt and perhaps DIR/val.txt list paths within ROOT.
  ucf101   official lists in DIR: classInd.txt, trainlist0K.txt, testlist0K.txt; K is 1, 2 or 3.
  hmdb51   official lists in DIR: <class>_test_splitK.txt; K is 1, 2 or 3.
Where lists give train and test only, a fifth of train is cut off by group for validation. --val random cuts
train and validation anew, 4:1 at random whatever the groups, as some papers do. That is a leak, and is there
to show what it does: validation then promises more than the test keeps, and `actrec data check` says so.

--blocks B.csv (columns: group, block) is for cross-validation: folds are made within each block by itself.

examples:
  actrec data build --layout folder --root videos --out videos.parquet
  actrec data build --layout folder --root ut_interaction --group-regex '_(\\d+)_\\d+\\.avi$' --out ut.parquet
  actrec data build --layout ucf101 --root UCF-101 --splits ucfTrainTestlist --split 1 --out ucf101.parquet
  actrec data build --layout hmdb51 --root hmdb51 --splits testTrainMulti_7030_splits --out hmdb51.parquet
"""

SYNTHETIC = """\
Writes a manifest of the built-in videos, which are made on first use. Its splits have no leak. With --val
random, train and validation are cut anew, 4:1 at random, so that groups are on both sides. That alone makes
no difference here: a group has all classes. With --takes 10 a training group is ten videos of one class in
one scene, much as in UCF101, and a model that learns scenes has 0.8 in validation and 0.4 in the test.

example:
  actrec data synthetic --takes 10 --val random --out leaking.parquet
"""

CHECK = """\
Reads a manifest, checks every rule that it must keep, decodes every file once more and compares, and looks
for leaks: groups, and near-duplicate videos by perceptual hash, on two sides of a split. Hashes are kept
beside the manifest (M.hashes.parquet), and so is what was found (M.duplicates.json), for reports to show.

exit status:
  0  all is well; videos known to be unreadable, and leaks that official lists have, are shown
  1  a file is missing or is not what the manifest says, or a split leaks that is not official
  2  it is not a valid manifest

examples:
  actrec data check ut.parquet
  actrec data check ut.parquet --quick    # groups alone; decodes nothing
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command ``data``; its ``run`` default takes the parsed arguments and gives the exit status."""
    data = subparsers.add_parser("data", help="make or check a manifest of videos")
    commands = data.add_subparsers(title="commands", required=True, metavar="{build,check,synthetic}")

    def add(name: str, about: str, text: str) -> argparse.ArgumentParser:
        parser = commands.add_parser(
            name, help=about, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        return parser

    def add_address(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--address", help="Ray cluster; default: one running here, else a local one")

    def add_val(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--val",
            choices=("group", "random"),
            default="group",
            help="how validation is cut (default: group)",
        )

    build = add("build", "make a manifest from a folder of videos", BUILD)
    build.add_argument("--layout", required=True, choices=list(LAYOUTS), help="how the data set is kept")
    build.add_argument("--root", required=True, type=Path, metavar="DIR", help="the folder of videos")
    build.add_argument("--splits", type=Path, metavar="DIR", help="the folder of split lists")
    build.add_argument("--split", type=int, metavar="K", help="which of the split lists; official default: 1")
    build.add_argument(
        "--group-regex",
        metavar="RE",
        help="searched in each path within ROOT; its capture is the group",
    )
    build.add_argument("--blocks", type=Path, metavar="B.csv", help="the block of each group")
    add_val(build)
    build.add_argument("--seed", type=int, default=0, metavar="S", help="of the cuts made here (default: 0)")
    build.add_argument("--out", required=True, type=Path, metavar="M.parquet", help="the manifest to write")
    add_address(build)
    build.set_defaults(run=run_build)

    check = add("check", "check a manifest and its files", CHECK)
    check.add_argument("manifest", type=Path, metavar="M.parquet", help="the manifest to check")
    check.add_argument("--quick", action="store_true", help="decode nothing: check the rows and groups alone")
    add_address(check)
    check.set_defaults(run=run_check)

    built_in = add("synthetic", "make a manifest of the built-in videos", SYNTHETIC)
    built_in.add_argument("--takes", type=int, default=1, metavar="N", help="videos of a training group")
    add_val(built_in)
    built_in.add_argument(
        "--out", required=True, type=Path, metavar="M.parquet", help="the manifest to write"
    )
    built_in.set_defaults(run=run_synthetic)


def _one_line_errors(command: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """What a user can put right is one line on stderr and exit status 2, not a traceback."""

    @wraps(command)
    def run(arguments: argparse.Namespace) -> int:
        try:
            return command(arguments)
        except ActrecError as error:
            print(f"actrec data: error: {printable(str(error))}", file=sys.stderr)
            return 2

    return run


@_one_line_errors
def run_build(arguments: argparse.Namespace) -> int:
    """Make a manifest."""
    root = arguments.root.absolute()
    listing = list_videos(
        root,
        arguments.layout,
        splits=arguments.splits,
        split=arguments.split,
        group_regex=arguments.group_regex,
    )
    blocks = None if arguments.blocks is None else read_blocks(arguments.blocks, listing)
    paths = paths_to_probe(listing)
    check_paths(paths, root)  # before a file is opened
    probes = _probe(root, paths, arguments.address)
    manifest = build_manifest(
        root, arguments.layout, listing, probes, seed=arguments.seed, val=arguments.val, blocks=blocks
    )
    _write(manifest, arguments.out, listing.notes)
    return 0


@_one_line_errors
def run_synthetic(arguments: argparse.Namespace) -> int:
    """Make a manifest of the built-in videos."""
    from actrec.data import synthetic

    manifest = Manifest.read(synthetic.build(takes=arguments.takes))
    _write(with_random_val(manifest) if arguments.val == "random" else manifest, arguments.out)
    return 0


def _write(manifest: Manifest, path: Path, notes: Sequence[str] = ()) -> None:
    manifest.write(path)
    show_manifest(manifest, manifest.counts())
    for note in notes:
        print(f"note: {printable(note)}")
    print(f"wrote {printable(str(path))} (digest {manifest.digest})")


@_one_line_errors
def run_check(arguments: argparse.Namespace) -> int:
    """Check a manifest and its files."""
    manifest = Manifest.read(arguments.manifest)
    counts = manifest.counts()
    show_manifest(manifest, counts)
    wrong = [f"group {group} is on two sides of a split" for group in counts.leaks]
    if arguments.quick:
        print("files and near-duplicates: not checked (--quick)")
    elif not manifest.root.is_dir():
        wrong.append(f"{manifest.root}: the root is not there")
    else:
        wrong += _changed(manifest, arguments.address)
        wrong += _near_duplicates(manifest, arguments.manifest)
    list_lines("problems", wrong)
    if not wrong:
        print(f"{printable(str(arguments.manifest))}: good (digest {manifest.digest})")
    return 1 if wrong else 0


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, where that is a terminal; gives what takes the number that are done."""
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda done: progress.update(task, completed=done)


def _probe(root: Path, paths: Sequence[str], address: str | None) -> list[Probe | str]:
    # Here, so that help and errors in names come without the seconds that Ray takes.
    from actrec.data.stream import probe_videos
    from actrec.engine.cluster import connect

    with connect(address), _progress("decoding", len(paths)) as done:
        return probe_videos(root, paths, done)


def _near_duplicates(manifest: Manifest, path: Path) -> list[str]:
    """Shows near-duplicates; one line for each pair that no official list put on two sides."""
    from actrec.data.duplicates import find

    with _progress("hashing", len(manifest.table)) as done:
        pairs = find(manifest, path, done)
    sides = not_official(manifest.layout, manifest.cut)
    ours: list[str] = []
    official: list[str] = []
    within: list[str] = []
    for pair in pairs:
        line = (
            f"{pair.one} ({pair.splits[0]}), {pair.other} ({pair.splits[1]}): {pair.bits:g} of 64 bits apart"
        )
        if pair.splits[0] == pair.splits[1]:
            within.append(line)
        else:
            (ours if sides.issuperset(pair.splits) else official).append(line)
    list_lines("near-duplicates in two groups of one split, which a cross-validation would part", within)
    list_lines("near-duplicates on two sides, as the official lists have them", official)
    if not pairs:
        print("near-duplicates: none")
    return [f"near-duplicates on two sides of a split: {line}" for line in ours]


def _changed(manifest: Manifest, address: str | None) -> list[str]:
    """One line for each video that is no longer as the manifest says."""
    now = _probe(manifest.root, strings(manifest.table, "path"), address)
    wrong = []
    for row, found in zip(manifest.table.to_pylist(), now, strict=True):
        if isinstance(found, str):
            if row["status"] == "ok":
                wrong.append(f"{row['path']}: no longer readable: {found}")
        elif row["status"] != "ok":
            wrong.append(f"{row['path']}: readable now (was: {row['reason']}); build the manifest again")
        elif changes := [
            f"{name} {row[name]} → {getattr(found, name)}"
            for name in ("num_frames", "width", "height")
            if row[name] != getattr(found, name)
        ]:
            wrong.append(f"{row['path']}: another file now ({', '.join(changes)})")
    return wrong
