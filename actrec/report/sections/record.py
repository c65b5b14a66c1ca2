"""Nothing lost, nothing silent: failures, and where it all comes from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from actrec.report import words
from actrec.report.exports import written
from actrec.report.markup import Child, Html, el
from actrec.report.record import at
from actrec.report.sections.parts import facts, listed, section, table, text_columns
from actrec.report.values import Launch, Report


def failures(report: Report) -> Html:
    """Every failed trial with its error, every video that does not decode; their numbers even where zero."""
    failed = [trial for trial in report.trials if trial.status == "failed"]
    undecodable = report.data.undecodable or ()
    pruned = report.count("pruned")
    return section(
        "failures",
        "Failures",
        el("p", f"{len(failed)} of {words.count(report.planned, 'trial')} failed."),
        el("p", f"{pruned:,} were pruned: stopped early by the search, which is no failure.")
        if pruned
        else None,
        table(
            "Failed trials",
            text_columns("Trial", "Arm", "Seed", "Error"),
            [
                [el("code", t.trial_id), t.arm, str(t.seed), el("code", t.error, class_="wrap")]
                for t in failed
            ],
        )
        if failed
        else None,
        el("p", _undecodable(report)),
        table(
            "Videos that do not decode",
            text_columns("Video", "Path", "Reason"),
            [[el("code", v.video_id), el("code", v.path, class_="wrap"), v.reason] for v in undecodable],
        )
        if undecodable
        else None,
    )


def _undecodable(report: Report) -> str:
    if report.data.undecodable is None:
        return "How many videos are undecodable is not recorded."
    broken = len(report.data.undecodable)
    if not report.data.counts:
        return f"{words.count(broken, 'video')} undecodable."
    return f"{broken} of {words.count(report.data.videos, 'video')} undecodable."


def provenance(report: Report, folder: Path) -> Html:
    """What it takes to trust or repeat the study, and its files."""
    study = report.study
    revision = at(study, "git.revision", str, None)
    dirty = at(study, "git.dirty", bool, None)
    state = {True: " with uncommitted changes", False: ", clean", None: ""}[dirty]
    wall = study.get("wall_seconds")
    command = at(study, "command", str, None) or " ".join(map(str, at(study, "command", list, [])))
    files = [
        name
        for name in ("trials", "epochs", "predictions", "effects", "contrasts", "videos")
        if (folder / f"{name}.parquet").exists()
    ]
    links: list[Child] = [el("a", f"{name}.parquet", href=f"{name}.parquet") for name in files]
    if (folder / "study.json").exists():
        links.append(el("a", "study.json", href="study.json"))
    exported = written(folder)
    return section(
        "provenance",
        "Provenance",
        facts(
            [
                ("Command", el("code", command, class_="wrap") if command else None),
                ("Git revision", [el("code", revision), state] if revision else None),
                ("Manifest", at(study, "manifest.path", str, None)),
                ("Manifest digest", _code(at(study, "manifest.digest", str, None))),
                ("Launches", _launches(report.launches)),
                ("Decodes", _decodes(report.launches)),
                ("Trained on", _conditions(report)),
                ("Frozen stages", _sharing(report)),
                ("Seeds", _seeds(report)),
                ("Started", words.moment(at(study, "started", str, ""))),
                ("Ended", words.moment(at(study, "ended", str, ""))),
                ("Wall time", words.duration(wall) if isinstance(wall, int | float) else None),
                ("Versions", _line(at(study, "versions", dict, {}))),
                ("Hardware", _hardware(at(study, "hardware", dict, {}))),
            ],
            kind="record",
        ),
        el("p", "Tables beside this page: ", listed(links)) if links else None,
        el(
            "p",
            "The same as text, and the verdicts for Markdown and LaTeX: ",
            listed([el("a", Path(name).name, href=name) for name in exported]),
        )
        if exported
        else None,
        el(
            "details",
            el("summary", "The study as it was resolved"),
            el("pre", json.dumps(study["study"], indent=2, ensure_ascii=False)),
        )
        if "study" in study
        else None,
    )


def _seeds(report: Report) -> str:
    """Of a search, those of each stage: none of them is used twice."""
    if report.search is None:
        return ", ".join(map(str, report.seeds))
    told = [
        (words.STAGES[one.name], ", ".join(map(str, one.seeds))) for one in report.search.stages if one.seeds
    ]
    return " · ".join(f"{name} {seeds}" for name, seeds in told)


def _launches(launches: Sequence[Launch]) -> Html | None:
    """When each began, how long it took, and its command."""
    each: list[Child] = [
        el(
            "li",
            f"{words.moment(launch.started)}, {words.duration(launch.seconds)}"
            if launch.started
            else "time not recorded",
            [": ", el("code", launch.command, class_="wrap")] if launch.command else None,
        )
        for launch in launches
    ]
    return el("ol", each, class_="launches") if each else None


def _decodes(launches: Sequence[Launch]) -> str | None:
    """What the study needs decoded, and in which launch it was."""
    if not launches:
        return None
    most = max(launches, key=lambda launch: launch.videos * launch.clip_keys)
    decoded, reused = (
        ", then ".join(f"{getattr(launch, name):,}" for launch in launches) for name in ("decoded", "reused")
    )
    return (
        f"{most.videos * most.clip_keys:,} = {words.count(most.videos, 'video')} × "
        f"{words.count(most.clip_keys, 'clip key')}; decoded {decoded}; found in the cache {reused}"
    )


def _conditions(report: Report) -> str | None:
    """What all finished trials were trained on; None where that is unknown or not one thing."""
    found = {trial.conditions for arm in report.arms for trial in arm.finished}
    one = found.pop() if len(found) == 1 else None
    if one is None:
        return None
    feed = {"cache": "clip cache", "stream": "streamed from the videos"}.get(one.feed, one.feed)
    return f"{words.count(one.workers, 'worker')}, {one.device}, {feed}"


def _sharing(report: Report) -> Html | None:
    """What was decided on sharing frozen stages, and how many trials trained on what is shared."""
    finished = [trial for arm in report.arms for trial in arm.finished]
    counts = Counter(trial.shared_stages for trial in finished if trial.shared_stages)
    lines = [str(line) for line in at(report.study, "sharing.lines", list, [])]
    lines += [
        f"{n:,} of {words.count(len(finished), 'finished trial')} trained on what "
        f"{words.count(stages, 'frozen stage')} made of each clip, computed once"
        for stages, n in sorted(counts.items())
    ]
    return el("ul", [el("li", line) for line in lines], class_="launches") if lines else None


def _hardware(found: Mapping[str, object]) -> str:
    """The cluster in words; what has no words here keeps its key."""
    counts = {"nodes": "node", "cpus": "CPU core", "gpus": "GPU"}
    parts = []
    for name, value in found.items():
        if name in counts and isinstance(value, int | float):
            parts.append(words.count(round(value), counts[name]))
        elif name == "memory_gib":
            parts.append(f"{value} GiB of memory")
        elif name not in ("gpu", "processor"):
            parts.append(f"{name.replace('_', ' ')} {value}")
        elif value != "none here":
            parts.append(str(value))
    return " · ".join(parts)


def _code(text: str | None) -> Html | None:
    return None if text is None else el("code", text, class_="wrap")


def _line(values: Mapping[str, object]) -> str:
    """Names and values in one line."""
    return " · ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())
