"""The command ``annotations``: the annotations of a run."""

from __future__ import annotations

import click

from ...model.text import one_line
from ..annotation_text import line_of
from ..command_session import Session
from ..completers import complete_run_ids
from ..exit_codes import NOTHING, OK
from ..options import store_option, with_session
from ..run_lookup import find_run


@click.command("annotations", short_help="Show or remove the annotations of a run.")
@click.argument("run", default="@1", shell_complete=complete_run_ids)
@store_option
@click.option("--json", "as_data", is_flag=True, help="Print them as one JSON object.")
@click.option("--remove", "name", metavar="NAME", help="Remove those with this name.")
@click.option("--remove-id", "annotation_id", metavar="ID", help="Remove the one with this id.")
@with_session
def list_annotations(
    session: Session,
    /,
    run: str,
    name: str | None,
    annotation_id: str | None,
    *,
    as_data: bool,
) -> int:
    """Show all annotations of a run, oldest first, or remove some.

    RUN is a run id or its beginning; @1 is the newest run (the default), @2 the one before.
    """
    with session.store() as store:
        run_id = find_run(store, run, session.name).run_id
        if name is not None or annotation_id is not None:
            removed = store.remove_annotation(run_id, name=name, annotation_id=annotation_id)
            session.terminal.note(f"{removed:,} removed")
            return OK if removed else NOTHING
        found = store.annotations(run_id)
    if as_data:
        session.terminal.json({"annotations": [one.to_dict() for one in found]})
    else:
        session.terminal.lines(line_of(one, with_id=True) for one in found)
    if not found:
        session.terminal.note(f"No annotations of {one_line(run_id)}")
    return OK if found else NOTHING
