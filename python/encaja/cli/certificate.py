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

from encaja.atomic import write_atomically
from encaja.certificates import KIND, examine, read_files, read_pem, system_roots
from encaja.cli.options import AsJson, EnvironmentName, Inventory, Language
from encaja.cli.output import table_console
from encaja.cli.playbook_run import check_words, find_inventories, play
from encaja.errors import ConfigurationError, DifferencesFound, EncajaError
from encaja.notices import Notice, compose
from encaja.runbook.record.journal import Document
from encaja.runbook.record.workspace import find_project
from encaja.vocabulary import LANGUAGES

app = typer.Typer(no_args_is_help=True)
REQUESTS_KIND, SERVED_KIND = "certificate-requests", "certificates-served"

RenewDays = Annotated[int, typer.Option("--renew-days", help="Warn when fewer days are left.")]
WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {"host": "host", "name": "name", "names": "names", "issuer": "issuer", "expires": "last day",
           "days_left": "days left", "state": "state", "ok": "good", "none": "no certificate",
           "unit": "service", "address": "address", "serial": "serial number shown",
           "unchanged": "no certificate changed"},
    "es": {"host": "host", "name": "nombre", "names": "nombres", "issuer": "emisor", "expires": "último día",
           "days_left": "días restantes", "state": "estado", "ok": "correcto", "none": "ningún certificado",
           "unit": "servicio", "address": "dirección", "serial": "número de serie mostrado",
           "unchanged": "ningún certificado ha cambiado"},
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


def _show(
    rows: Sequence[Mapping[str, Any]], language: str, as_json: bool, where: str, more: Mapping[str, Any] | None = None
) -> None:
    """Print what was found, as a table or as JSON; exit code 4 when a certificate has a fault."""
    faulty = [str(row["name"]) for row in rows if row["faults"]]
    if as_json:
        body = {"kind": KIND, "differences": len(faulty), "certificates": list(rows), **(more or {})}
        print(json.dumps(body, indent=2, ensure_ascii=False))
    elif rows:
        table_console().print(_table(rows, language))
    else:
        print(WORDS[language]["none"])
    if faulty:
        raise DifferencesFound(f"faults in {', '.join(faulty)}", where, "see the column 'state'")


def _body(documents: Sequence[Document], kind: str, environment: str) -> dict[str, Any]:
    bodies = [item.body for item in documents if isinstance(item.body, dict) and item.body.get("kind") == kind]
    if not bodies:
        raise EncajaError("no host was queried", environment, "name hosts in that group of the inventory")
    return bodies[-1]


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
    _show(_body(documents, KIND, environment)["certificates"], language, as_json, environment)


def _letter(environment: str, rows: Sequence[Mapping[str, Any]], language: str) -> Notice:
    """What the client is asked to buy: a line for each request with its names, and where to put what comes back."""
    lines = [
        f"  - {row['folder']}/{row['name']}.csr: {', '.join(row['names'])}\n    -> {row['folder']}/{row['name']}/"
        for row in rows
    ]
    return compose("certificate-request", language, {"environment": environment, "requests": "\n".join(lines)})


@app.command()
def request(
    environment: EnvironmentName, *, inventory: Inventory = None, language: Language = "en", as_json: AsJson = False
) -> None:
    """Make keys on the hosts, which stay there, and requests for the certificates that are to be bought.

    Writes the requests to the controller, with a letter to the client in English and Spanish beside them.
    """
    check_words("certificate request", [environment], language)
    project = find_project()
    inventories = find_inventories(project, inventory or ())
    variables = {"certificates_environment": environment}
    documents = play(project, inventories, "certificate_request.yml", variables, where=environment)
    rows = _body(documents, REQUESTS_KIND, environment)["requests"]
    if not rows:
        raise ConfigurationError("no certificate is to be bought", environment, "set tls_source to 'bought'")
    for folder in sorted({row["folder"] for row in rows}):
        for one in LANGUAGES:
            letter = _letter(environment, [row for row in rows if row["folder"] == folder], one)
            write_atomically(Path(folder) / f"letter.{one}.txt", f"{letter.subject}\n\n{letter.body}".encode(), 0o644)
    if as_json:
        print(json.dumps({"kind": REQUESTS_KIND, "requests": rows}, indent=2, ensure_ascii=False))
    else:
        letter = _letter(environment, rows, language)
        print(f"{letter.subject}\n\n{letter.body}", end="")


@app.command()
def install(
    environment: EnvironmentName, *, inventory: Inventory = None, language: Language = "en", as_json: AsJson = False
) -> None:
    """Install the certificates on the hosts, and show what every service shows afterwards.

    Checks all files before a host is touched. A service that does not come up gets the former certificate back.
    """
    check_words("certificate install", [environment], language)
    project = find_project()
    inventories = find_inventories(project, inventory or ())
    variables = {"certificates_environment": environment}
    documents = play(project, inventories, "certificates.yml", variables, limit=environment, where=environment)
    served = _body(documents, SERVED_KIND, environment)["served"]
    if not as_json:
        table = Table()
        columns = ("host", "name", "unit", "address", "serial")
        for column in columns:
            table.add_column(WORDS[language][column], overflow="fold")
        for row in served:
            table.add_row(*(escape(row[column]) for column in columns))
        table_console().print(table if served else WORDS[language]["unchanged"])
    rows = _body(documents, KIND, environment)["certificates"]
    _show(rows, language, as_json, environment, {"served": served})


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
