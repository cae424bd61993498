"""Commands about what may be put into a study: metrics, bench, check."""

from __future__ import annotations

from typing import Annotated

import typer

from ablations.cli.console import out


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


def register(app: typer.Typer) -> None:
    """The commands of this file."""
    app.command(
        add_help_option=False,  # so that --help reaches the bench, which parses its own options
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(bench)
    app.command()(metrics)
    checks = typer.Typer(no_args_is_help=True, help="Check something of your own before you use it in a study.")
    checks.command("loss")(check_loss)
    app.add_typer(checks, name="check")
