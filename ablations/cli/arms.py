"""Commands on one trained arm, and on a report that lies there: show, sample, export, open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablations.cli.console import out, print_json, say
from ablations.cli.parameters import AsJson, Commands, StudyName, Uri, store_options

if TYPE_CHECKING:
    from tracking.store import Store

Arm = Annotated[str, typer.Argument(metavar="ARM", help="Its label, as ablate plan and the report show it.")]
OfStudy = Annotated[str, typer.Option("--study", help="The study that it belongs to. Default: the one last run.")]
Seed = Annotated[int | None, typer.Option(help="Of the cell. Default: the seed with the lowest −ELBO.")]


def show(
    name: Annotated[str, typer.Argument(metavar="ARM|CELL", help="An arm, or a cell of it: mae-sum-b1-s0.")],
    study: OfStudy = "",
    tracking_uri: Uri = None,
    as_json: AsJson = False,
) -> None:
    """Show what the store holds of an arm or a cell: numbers, paths of pictures, links into MLflow's UI."""
    with out.status("Reading the store ..."):
        store, study = _study(study, tracking_uri)
        from ablations.shown import show as read

        shown = read(store, study, name)
    if as_json:
        from dataclasses import asdict

        print_json(asdict(shown))
        return
    from ablations import views

    for line in views.shown_lines(shown):
        say(line)
    out.print(views.number_table(shown))
    for path in shown.pictures:
        say(f"  {path}")
    for cell, link in shown.links.items():
        say(f"  {cell}: {link}")
    if not store.is_server:
        say(f"The links work while this runs: {Commands(study, (), store_options(tracking_uri))('ui')}")


def sample(
    arm: Arm,
    study: OfStudy = "",
    seed: Seed = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many images.")] = 100,
    path: Annotated[Path | None, typer.Option("--out", help="The PNG file. Default: ARM-samples.png.")] = None,
    tracking_uri: Uri = None,
) -> None:
    """Draw images from a trained arm, and write them as one PNG file. The same arm gives the same images."""
    from vae.errors import UserError

    target = path or Path(f"{arm}-samples.png")
    with out.status("Drawing ..."):
        store, study = _study(study, tracking_uri)
        from ablations.pictures import png_files
        from ablations.trained import find_arm

        trained = find_arm(store, study, arm, seed=seed)
        images = trained.model().sample(count)
        content = png_files({"samples": (images * 255).round().byte().numpy()})["samples.png"]
    try:
        target.write_bytes(content)
    except OSError as error:
        raise UserError(f"--out {str(target)!r} cannot be written: {error.strerror}") from None
    say(f"{count} samples of {trained.cell}: {target.resolve()}")


def export(
    arm: Arm,
    study: OfStudy = "",
    seed: Seed = None,
    folder: Annotated[Path | None, typer.Option("--out", help="Default: ARM in this folder.")] = None,
    tracking_uri: Uri = None,
) -> None:
    """Write a trained arm for other programs: weights as safetensors with a loader, and a torch.export program."""
    with out.status("Exporting ..."):
        store, study = _study(study, tracking_uri)
        from ablations.export import export as write
        from ablations.trained import find_arm

        trained = find_arm(store, study, arm, seed=seed)
        paths = write(trained, arm, (folder or Path(arm)).resolve())
    say(f"{trained.cell}, images of {'×'.join(map(str, trained.image_shape))}:")
    say(f"  {paths['weights']}: the weights, and the settings of the arm")
    say(f"  {paths['loader']}: reads them; try it with: python {paths['loader']}")
    say(f"  {paths['program']}: needs torch alone: torch.export.load(path).module()(images)")


def open_command(
    study: StudyName = "digits",
    out_dir: Annotated[Path | None, typer.Option("--out", help="Folder of the report. Default: out/STUDY.")] = None,
) -> None:
    """Open the report of a study in the browser."""
    import webbrowser

    from ablations.studies import name_of
    from vae.errors import UserError

    name = name_of(study)
    folder = (out_dir or Path("out") / name).resolve()
    page = folder / "report.html"
    if not page.is_file():
        raise UserError(f"there is no report in {folder}; ablate report {study} writes it")
    say(f"Report: {page}")
    if not webbrowser.open(page.as_uri()):
        say("No browser was found here: open that file in one.")


def _study(study: str, tracking_uri: str | None) -> tuple[Store, str]:
    """The store, and the name of the study: as given, else the one that was run last."""
    from ablations.studies import name_of
    from tracking.opening import open_store
    from tracking.search import parents
    from vae.errors import UserError

    name = name_of(study) if study else ""
    store = open_store(tracking_uri, create=False)
    if not name:
        latest = next(iter(parents(store)), None)
        if latest is None:
            raise UserError(f"no study was run in {store.shown} yet; ablate run digits runs one")
        name = latest.data.tags["ablate.study"]
    return store, name


def register(app: typer.Typer) -> None:
    """The commands of this file."""
    app.command()(show)
    app.command()(sample)
    app.command()(export)
    app.command("open")(open_command)
