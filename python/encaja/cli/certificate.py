"""`encaja certificate`: the certificates of hosts, and whether files are good before they are installed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from cryptography import x509
from rich.markup import escape
from rich.table import Table

from encaja.certificates import KIND, examine, read_files, read_pem, system_roots
from encaja.cli.options import AsJson, EnvironmentName, Inventory, Language
from encaja.cli.output import table_console
from encaja.cli.playbook_run import check_words, find_inventories, play
from encaja.errors import ConfigurationError, DifferencesFound, EncajaError
from encaja.runbook.record.workspace import find_project

app = typer.Typer(no_args_is_help=True)

RenewDays = Annotated[int, typer.Option("--renew-days", help="Warn when fewer days are left.")]
WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {"host": "host", "name": "name", "names": "names", "issuer": "issuer", "expires": "last day",
           "days_left": "days left", "state": "state", "ok": "good", "none": "no certificate"},
    "es": {"host": "host", "name": "nombre", "names": "nombres", "issuer": "emisor", "expires": "último día",
           "days_left": "días restantes", "state": "estado", "ok": "correcto", "none": "ningún certificado"},
}  # fmt: skip


def _state(row: Mapping[str, Any], words: Mapping[str, str]) -> str:
    if row["faults"]:
        return f"[bold red]{escape('; '.join(row['faults']))}[/bold red]"
    return (
        f"[yellow]{escape('; '.join(row['warnings']))}[/yellow]" if row["warnings"] else f"[green]{words['ok']}[/green]"
    )


def _table(rows: Sequence[Mapping[str, Any]], language: str) -> Table:
    words = WORDS[language]
    table = Table()
    columns = [column for column in ("host", "name", "names", "issuer", "expires", "days_left") if column in rows[0]]
    for column in columns:
        table.add_column(words[column], overflow="fold", justify="right" if column == "days_left" else "left")
    table.add_column(words["state"], overflow="fold", ratio=3)
    for row in rows:
        values = (", ".join(row[key]) if key == "names" else str(row[key] or "") for key in columns)
        table.add_row(*(escape(value) for value in values), _state(row, words))
    return table


def _show(rows: Sequence[Mapping[str, Any]], language: str, as_json: bool, where: str) -> None:
    """Print what was found, as a table or as JSON; exit code 4 when a certificate has a fault."""
    faulty = [str(row["name"]) for row in rows if row["faults"]]
    if as_json:
        body = {"kind": KIND, "differences": len(faulty), "certificates": list(rows)}
        print(json.dumps(body, indent=2, ensure_ascii=False))
    elif rows:
        table_console().print(_table(rows, language))
    else:
        print(WORDS[language]["none"])
    if faulty:
        raise DifferencesFound(f"faults in {', '.join(faulty)}", where, "see the column 'state'")


@app.command("list")
def list_(
    environment: EnvironmentName,
    *,
    inventory: Inventory = None,
    renew_days: RenewDays = 30,
    language: Language = "en",
    as_json: AsJson = False,
) -> None:
    """List the certificates of an environment's hosts. Changes nothing. Exit code 4 when one of them has a fault."""
    check_words("certificate list", [environment], language)
    project = find_project()
    variables = {"certificates_environment": environment, "certificates_renew_days": renew_days}
    documents = play(
        project, find_inventories(project, inventory or ()), "certificate_list.yml", variables, where=environment
    )
    body = next(
        (item.body for item in documents if isinstance(item.body, dict) and item.body.get("kind") == KIND), None
    )
    if body is None:
        raise EncajaError("no host was queried", environment, "name hosts in that group of the inventory")
    _show(body["certificates"], language, as_json, environment)


@app.command()
def check(
    certificate: Annotated[
        list[Path], typer.Argument(help="The certificate with its chain: files in any usual form, or their folder.")
    ],
    *,
    key: Annotated[Path | None, typer.Option("--key", help="Its private key.")] = None,
    chain: Annotated[Path | None, typer.Option("--chain", help="Its intermediate certificates.")] = None,
    request: Annotated[Path | None, typer.Option("--request", help="The request (.csr) that it was made for.")] = None,
    password_file: Annotated[
        Path | None, typer.Option("--password-file", help="File with the passphrase of the key or PKCS#12 file.")
    ] = None,
    name: Annotated[list[str] | None, typer.Option("--name", help="A host name that it has to cover.")] = None,
    trusted: Annotated[list[Path] | None, typer.Option("--trusted", help="An authority of your own, PEM.")] = None,
    renew_days: RenewDays = 30,
    language: Language = "en",
    as_json: AsJson = False,
) -> None:
    """Check files before they are installed, as a browser or a telephone would. Exit code 4 when they have faults."""
    check_words("certificate check", [], language)
    roots = system_roots()
    for path in trusted or ():
        try:
            roots += x509.load_pem_x509_certificates(read_pem(str(path)))
        except ValueError as fault:
            raise ConfigurationError("no PEM certificate", str(path), "give the authority's certificate") from fault
    files = {one: content for path in certificate for one, content in read_files(str(path)).items()}
    found = examine(
        files,
        read_pem(str(key)) if key else None,
        read_pem(str(chain)) if chain else b"",
        names=name or (),
        roots=roots,
        renew_days=renew_days,
        passphrase=read_pem(str(password_file)).decode().strip() if password_file else "",
        request=read_pem(str(request)) if request else b"",
        language=language,
    )
    _show([found.as_row(certificate[0].name)], language, as_json, str(certificate[0]))
