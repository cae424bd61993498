"""Commands about what may be put into a study: init, studies, metrics, bench, check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ablations.cli.console import err, out, say
from ablations.cli.parameters import AsJson, DataDir

Data = Annotated[
    str, typer.Argument(metavar="DATA", help="A folder of pictures, an .npz file, or a set such as digits or mnist.")
]
Size = Annotated[int | None, typer.Option(help="Resize to a square of so many pixels.")]
Colour = Annotated[bool, typer.Option("--colour", help="Read three channels in place of grey.")]


def init(
    data: Data,
    name: Annotated[str, typer.Option(help="Of the study. Default: the name of the data.")] = "",
    size: Size = None,
    colour: Colour = False,
    data_dir: DataDir = None,
) -> None:
    """Write a study and a claims file for your images, every line explained. Asks nothing."""
    from vae.datasets.request import check_request

    check_request(data, size=size)
    with out.status("Reading the images ..."):
        from ablations import starting
        from ablations.own_data import images_for

        images, side = images_for(data, data_dir, size=size, colour=colour)
        start = starting.start_for(data, images, size=side, colour=colour, folder=Path.cwd(), name=name)
    starting.write(start)
    say(f"{start.study.name}: the study, with what each line means.")
    say(f"{start.claims.name}: two claims to begin with, and how to write your own.")
    say(f"Next: ablate plan {start.study.name}")


def studies(as_json: AsJson = False) -> None:
    """List the bundled studies, with the minutes that they took."""
    from ablations import studies as bundle
    from ablations.cli.console import print_json

    described = bundle.described()
    if as_json:
        print_json({"studies": [{**one, "minutes": bundle.MINUTES.get(one["study"])} for one in described]})
        return
    for one in described:
        minutes = bundle.MINUTES.get(one["study"])
        took = "time not measured: ablate plan estimates it" if minutes is None else f"about {minutes:g} min"
        out.print(f"[bold]{one['study']}[/bold]  {one['dataset']}, {took}", highlight=False)
        out.print(f"    {one['description']}", markup=False)
    say(f"Measured {bundle.MEASURED_ON}.")
    say("Next: ablate plan digits")


def bench(context: typer.Context) -> None:
    """Measure training throughput against the plain loop and the machine's ceiling."""
    from ablations import bench as benchmark

    raise typer.Exit(benchmark.main(context.args))


def metrics() -> None:
    """List every metric: unit, direction, what it measures and what fools it."""
    from ablations import views

    out.print(*views.metric_lines(), sep="\n")


def check_loss(name: Annotated[str, typer.Argument(help="mypackage.losses:charbonnier, or a built-in loss.")]) -> None:
    """Test a loss of your own: shape, sign, gradient, zero at equality, finite at the ends."""
    from vae.losses import loss

    loss(name)  # a name that leads to no loss is reported before torch is imported
    from ablations import views
    from vae.conformance import check_loss as check

    findings = check(name)
    out.print(views.findings_table(name, findings))
    raise typer.Exit(0 if all(finding.passed for finding in findings) else 1)


def check_claims(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Claims files, or bundled names such as notes.")],
) -> None:
    """Read claims files whole: every mistake at once, or the claims that they hold."""
    from reports.claims.errors import ClaimMistakes
    from reports.claims.load import load_claims

    try:
        claims = load_claims(*files)
    except ClaimMistakes as mistakes:
        for line in mistakes.lines:
            err.print(f"[red]error:[/red] {_text(line)}")
        raise typer.Exit(2) from None
    from ablations import views

    for line in views.claim_lines(claims):
        out.print(line)


def check_data(data: Data, size: Size = None, colour: Colour = False, data_dir: DataDir = None) -> None:
    """Read images as a study would: how many, of which size and classes, and their digest. Downloads nothing."""
    from vae.datasets.request import check_request

    check_request(data, size=size)
    with out.status("Reading the images ..."):
        from ablations.own_data import facts_of
        from vae.datasets.load import load

        lines = facts_of(load(data, data_dir, size=size, colour=colour, download=False))
    for line in lines:
        say(line)
    say(f"Next: ablate init {data}")


def _text(line: str) -> str:
    from rich.markup import escape

    return escape(line)


def register(app: typer.Typer) -> None:
    """The commands of this file."""
    app.command()(init)
    app.command()(studies)
    app.command(
        add_help_option=False,  # so that --help reaches the bench, which parses its own options
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(bench)
    app.command()(metrics)
    checks = typer.Typer(no_args_is_help=True, help="Check something of your own before you use it in a study.")
    checks.command("loss")(check_loss)
    checks.command("claims")(check_claims)
    checks.command("data")(check_data)
    app.add_typer(checks, name="check")
