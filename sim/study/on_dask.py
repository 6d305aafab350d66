"""Pieces of work on a Dask cluster: one on this machine, or a scheduler somewhere. Only this module knows Dask.

Workers have the lab installed, in the same version. The files that a scenario reads travel with the work, so that nothing has to
be shared but the network. A worker that dies is Dask's business: its work goes to another one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import pickle
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sim.scenario.scenario import Scenario
from sim.scenario.user_strategy import same_modules, strategy_package
from sim.study.manifest import input_files
from sim.study.unit import surroundings

#: So long a scheduler has to answer, and at least one worker to be there.
PATIENCE_S = 30.0
ON_THIS_MACHINE = "dask"


class ClusterUnusable(Exception):
    """No scheduler, no worker, another version of the lab, or a piece of work that kills its workers; one line."""


@dataclasses.dataclass(frozen=True, slots=True)
class Files:
    """What the scenarios of a study read: folder here -> (name relative to it -> bytes); and the strategies of the user's own."""

    by_folder: Mapping[str, Mapping[str, bytes]]
    uses: Sequence[tuple[str, str, str]]  # (use, folder, name of its package here)

    @property
    def key(self) -> str:
        return hashlib.blake2b(pickle.dumps(self), digest_size=8).hexdigest()


def files_of(scenarios: Sequence[Scenario], uses: Sequence[tuple[str, Path]]) -> Files:
    found: dict[str, dict[str, bytes]] = {}
    for scenario in {(one.folder, tuple(input_files(one))): one for one in scenarios}.values():
        for path in input_files(scenario)[1 if scenario.source else 0 :]:
            name = str(path.relative_to(scenario.folder)) if path.is_relative_to(scenario.folder) else str(path)
            found.setdefault(str(scenario.folder), {})[name] = path.read_bytes()
    return Files(found, [(use, str(folder), strategy_package(use, folder)) for use, folder in uses])


def results(packed: Sequence[bytes], files: Files, executor: str, jobs: int) -> Iterator[dict[str, bytes]]:
    """Yield id -> content of the units of each piece as they finish.

    Raises:
        ClusterUnusable: with what is wrong.
    """
    try:
        import distributed
    except ImportError:
        raise ClusterUnusable(
            "--executor needs Dask: pip install 'handover-lab[dask]', or '.[dask]' in the lab's folder"
        ) from None
    with contextlib.ExitStack() as stack:
        client = _client(distributed, executor, jobs, stack)
        _same_lab(client)
        futures = [client.submit(run_here, piece, files, pure=False) for piece in packed]
        stack.callback(client.cancel, futures)
        try:
            for future in distributed.as_completed(futures):
                yield future.result()
                future.release()
        except distributed.KilledWorker as error:
            raise ClusterUnusable(
                f"a piece of work ended its worker again and again: {' '.join(str(error).split())[:200]}"
            ) from None
        except (OSError, TimeoutError) as error:
            raise ClusterUnusable(f"the connection to the cluster is lost: {error}; finished units are kept") from None


def _client(distributed: Any, executor: str, jobs: int, stack: contextlib.ExitStack) -> Any:
    if executor == ON_THIS_MACHINE:
        cluster = stack.enter_context(
            distributed.LocalCluster(
                n_workers=jobs, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None,
                worker_dashboard_address=None, silence_logs="ERROR",
            )
        )  # fmt: skip
        return stack.enter_context(distributed.Client(cluster))
    try:
        client = stack.enter_context(distributed.Client(executor, timeout=PATIENCE_S))
    except (OSError, ValueError, TimeoutError):
        raise ClusterUnusable(f"--executor {executor}: no scheduler answers there; `dask scheduler` starts one") from None
    try:
        client.wait_for_workers(1, timeout=PATIENCE_S)
    except TimeoutError:
        raise ClusterUnusable(
            f"--executor {executor}: the scheduler has no worker; `dask worker {executor}` starts one"
        ) from None
    return client


def _same_lab(client: Any) -> None:
    """Every worker has to be of this version of the lab: an id must mean the same numbers everywhere."""
    try:
        found = client.run(surroundings)
    except Exception as error:  # whatever a worker without the lab says
        raise ClusterUnusable(
            f"a worker cannot run the lab: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        ) from None
    others = [address for address, one in found.items() if one != surroundings()]
    if others:
        raise ClusterUnusable(f"worker {others[0]} has another version of the lab, of numpy or of SimPy: install the same one")


def run_here(packed: bytes, files: Files) -> dict[str, bytes]:
    """In a worker: run a piece with the files that came with it."""
    from sim.study.execute import run_piece

    folders = {folder: _placed(folder, inner, files.key) for folder, inner in files.by_folder.items()}
    try:
        for use, folder, name in files.uses:
            same_modules(strategy_package(use, folders[folder]), name)  # where settings that are unpickled look for their class
        piece = [
            (dataclasses.replace(scenario, folder=folders.get(str(scenario.folder), scenario.folder)), *rest)
            for scenario, *rest in pickle.loads(packed)
        ]
        return run_piece(piece)
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        for folder, placed in folders.items():
            text = text.replace(str(placed), folder)
        error.add_note(text)
        raise


def _placed(folder: str, inner: Mapping[str, bytes], key: str) -> Path:
    """The folder with these files: the one they came from where it is the same here, else a temporary one."""
    here = Path(folder)
    with contextlib.suppress(OSError):
        if all((here / name).read_bytes() == content for name, content in inner.items()):
            return here
    place = Path(tempfile.gettempdir()) / f"handover-lab-{key}" / hashlib.blake2b(folder.encode(), digest_size=6).hexdigest()
    for name, content in inner.items():
        path = place / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                file.write(content)
            Path(file.name).replace(path)
    return place
