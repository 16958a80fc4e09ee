"""What is wrong with a certificate, in words that its buyer understands, in English and in Spanish."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LANGUAGES: Final = ("en", "es")
FAULTS: Final[Mapping[str, tuple[str, str]]] = {
    "garbage": (
        "{file} is neither a certificate nor a key in a known form (PEM, DER, PKCS#7, PKCS#12): ask for it again",
        "{file} no es un certificado ni una clave en un formato conocido (PEM, DER, PKCS#7, PKCS#12): pídalo de nuevo",
    ),
    "no_certificate": ("holds no certificate: {files}", "no contiene ningún certificado: {files}"),
    "only_request": (
        "{files} is the request: give what the authority sent back for it",
        "{files} es la solicitud: entregue lo que la autoridad devolvió",
    ),
    "passphrase_missing": (
        "{file} has a passphrase: put it into tls_passphrase (vault)",
        "{file} tiene contraseña: indíquela en tls_passphrase (vault)",
    ),
    "passphrase_wrong": (
        "the passphrase in tls_passphrase does not open {file}",
        "la contraseña de tls_passphrase no abre {file}",
    ),
    "two_keys": (
        "{file} holds {count} private keys: export the one of this certificate alone",
        "{file} contiene {count} claves privadas: exporte solo la de este certificado",
    ),
    "no_key": ("the private key is missing", "falta la clave privada"),
    "other_key": (
        "the key belongs to another certificate",
        "la clave es de otro certificado",
    ),
    "other_request": (
        "was not made for the host's request: its key is another one (send the .csr file again)",
        "no corresponde a la solicitud del servidor: su clave es otra (envíe de nuevo el archivo .csr)",
    ),
    "key_short": (
        "the key has {bits} bits, clients ask for {minimum}",
        "la clave tiene {bits} bits y los clientes exigen {minimum}",
    ),
    "authority_given": (
        "this is the certificate of the authority '{name}', not your own: give the one that was issued to {wanted}",
        "este es el certificado de la autoridad '{name}', no el suyo: entregue el emitido a nombre de {wanted}",
    ),
    "other_name": (
        "does not cover {missing} (it covers {covered})",
        "no cubre {missing} (cubre {covered})",
    ),
    "no_name": ("no name at all", "ningún nombre"),
    "not_for_servers": (
        "is not for servers (extended key usage)",
        "no es para servidores (uso extendido de la clave)",
    ),
    "weak_signature": (
        "is signed with {algorithm}, which clients refuse",
        "está firmado con {algorithm}, que los clientes rechazan",
    ),
    "expired": ("expired on {day}", "caducó el {day}"),
    "not_yet": ("is valid from {day} UTC only", "solo es válido desde {day} UTC"),
    "ends_soon": ("expires in {days} days, on {day}", "caduca dentro de {days} días, el {day}"),
    "intermediate_expired": (
        "the intermediate '{name}' expired on {day}",
        "el intermedio '{name}' caducó el {day}",
    ),
    "intermediate_missing": (
        "the chain is broken: the certificate of '{name}' is missing, add it to the chain{offered}",
        "la cadena está rota: falta el certificado de '{name}', añádalo a la cadena{offered}",
    ),
    "offered_at": (" (its authority offers it at {url})", " (su autoridad lo ofrece en {url})"),
    "own_signature": (
        "it is signed by itself: name its authority in tls_trusted, or use a certificate of a public authority",
        "está firmado por sí mismo: indique su autoridad en tls_trusted, o use uno de una autoridad pública",
    ),
    "root_unknown": (
        "the root '{name}' is not in the trust store: name its authority in tls_trusted, or use a certificate of a "
        "public authority",
        "la raíz '{name}' no está en el almacén de confianza: indique su autoridad en tls_trusted, o use un "
        "certificado de una autoridad pública",
    ),
}


def told(language: str, fault: str, **values: object) -> str:
    """Return a fault's words in a language, with its values."""
    return FAULTS[fault][LANGUAGES.index(language)].format(**values)
