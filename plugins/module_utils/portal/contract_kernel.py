"""What the kit assumes of the product's kernel: its options, settings, modules, mail queue, log-in and messenger.

The probes run PHP on the command line with the kernel loaded; agents and mail stand still meanwhile, as in every other
work of the kit's through the kernel. The program ends without the calls that would start the portal's background jobs.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Final

from . import module_versions, php, updater, users
from .contract_probe import (
    MAIL,
    OPTIONS,
    TAG,
    Assumption,
    Outcome,
    Subject,
    Tagged,
    assumption,
    differs,
    holds,
    judged,
    unproven,
)
from .serialized import SerializedError, unserialize

VERSION_FILE: Final = module_versions.MAIN_FILE
_CONSTANTS: Final = (
    "BX_UTF", "BX_CRONTAB_SUPPORT", "BX_FILE_PERMISSIONS", "BX_TEMPORARY_FILES_DIRECTORY", "CACHED_b_option",
    "CACHED_b_lang", "BX24_HOST_NAME", "MYSQL_TABLE_TYPE",
)  # fmt: skip
_NOT_COMPARED: Final = frozenset({"connections", "crypto"})
_ACCOUNT: Final = (Tagged("b_user", f"LEFT(LOGIN, {len(TAG)}) = '{TAG}'"),)
_MODULE: Final = (Tagged("b_module", f"ID = '{TAG}'"),)


def version(subject: Subject) -> str:
    """The product's version by its own file; empty when it cannot be read there."""
    return module_versions.main_version(subject.portal.root)


def version_constant(subject: Subject) -> Outcome:
    """The version's file says what the kernel says."""
    if not (read := version(subject)):
        return differs(f"{VERSION_FILE} defines no SM_VERSION")
    said = str(subject.kernel("emit(defined('SM_VERSION') ? SM_VERSION : '');"))
    return judged(said == read, f"the file says {read}, the kernel {said or 'nothing'}")


def options(subject: Subject) -> Outcome:
    """What the kernel stores is a row, and names of options do not mind capitals."""
    said = subject.kernel(
        "\\COption::SetOptionString('main', $argv[3], $argv[4]);"
        " emit(\\COption::GetOptionString('main', strtoupper($argv[3]), ''));",
        TAG, subject.secret,
    )  # fmt: skip
    row = subject.database.value("SELECT VALUE FROM b_option WHERE MODULE_ID = 'main' AND NAME = %s", TAG)
    if row != subject.secret:
        return differs("an option that the kernel stored is no row of b_option")
    return judged(said == subject.secret, "stored as a row; asked for in capitals, "
                  + ("it is found" if said == subject.secret else f"it is {said!r}"))  # fmt: skip


def option_of_site(subject: Subject) -> Outcome:
    """The value of a site wins over the one of all sites."""
    said = subject.kernel(
        "\\COption::SetOptionString('main', $argv[3], 'all');"
        " \\COption::SetOptionString('main', $argv[3], $argv[4], false, $argv[5]);"
        " emit(\\COption::GetOptionString('main', $argv[3], '', $argv[5]));",
        TAG, subject.secret, subject.site,
    )  # fmt: skip
    row = subject.database.value(
        "SELECT VALUE FROM b_option_site WHERE MODULE_ID = 'main' AND NAME = %s AND SITE_ID = %s", TAG, subject.site
    )
    if row != subject.secret:
        return differs("an option of a site that the kernel stored is no row of b_option_site")
    return judged(said == subject.secret, f"for site {subject.site} the kernel says "
                  + ("the site's value" if said == subject.secret else repr(said)))  # fmt: skip


def purged(subject: Subject) -> Outcome:
    """A row that SQL wrote counts after the caches are purged."""
    ask = "emit(\\COption::GetOptionString('main', $argv[3], ''));"
    subject.kernel(ask, TAG)  # so that the kernel has cached that there is none
    subject.database.execute(
        "INSERT INTO b_option (MODULE_ID, NAME, VALUE) VALUES ('main', %s, %s)", TAG, subject.secret
    )
    subject.purge()
    said = subject.kernel(ask, TAG)
    return judged(said == subject.secret, "after the purge the kernel "
                  + ("has the row's value" if said == subject.secret else f"still says {said!r}"))  # fmt: skip


def module_row(subject: Subject) -> Outcome:
    """A row alone makes a module installed; without files it cannot be loaded."""
    subject.database.execute("INSERT INTO b_module (ID) VALUES (%s)", TAG)
    try:
        subject.purge()
        said = subject.kernel(
            "emit([\\Bitrix\\Main\\ModuleManager::isModuleInstalled($argv[3]), "
            "(bool)\\Bitrix\\Main\\Loader::includeModule($argv[3])]);",
            TAG,
        )
    finally:
        subject.sweep(_MODULE)
        subject.purge()
    words = f"with a row and no files it is {'' if said[0] else 'not '}installed and {'' if said[1] else 'not '}loaded"
    return judged(said == [True, False], words)


def settings(subject: Subject) -> Outcome:
    """The kit reads the settings files as the kernel does."""
    wanted = {
        str(name): section["value"]
        for name, section in subject.portal.effective.items()
        if name not in _NOT_COMPARED and isinstance(section, Mapping) and "value" in section
    }
    if not wanted:
        return unproven("the settings have no section to compare")
    said = subject.kernel(
        "$read = []; foreach (json_decode($argv[3]) as $name) {"
        " $read[$name] = \\Bitrix\\Main\\Config\\Configuration::getValue($name); } emit($read);",
        json.dumps(sorted(wanted)),
    )
    wrong = sorted(name for name, value in wanted.items() if _plain(said.get(name)) != _plain(value))
    return differs(f"read otherwise: {', '.join(wrong)}") if wrong else holds(f"{len(wanted)} sections read alike")


def _plain(value: Any) -> Any:
    """A value as both JSON and the kit's reader can say it: lists as dictionaries, an empty list as an empty one."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return {str(number): _plain(item) for number, item in enumerate(value)}
    return value


def licence(subject: Subject) -> Outcome:
    """The kit reads the licence's key as PHP does."""
    path = subject.portal.root / "bitrix" / "license_key.php"
    if not (text := subject.portal.text(path)):
        return unproven("bitrix/license_key.php is missing or empty")
    read = php.read_variable(text, "LICENSE_KEY")
    said = subject.kernel(
        "include $argv[1] . '/bitrix/license_key.php'; emit(hash('sha256', (string)($LICENSE_KEY ?? '')));"
    )
    same = hashlib.sha256(str(read or "").encode()).hexdigest() == said
    return judged(same, f"$LICENSE_KEY of bitrix/license_key.php is read {'alike' if same else 'otherwise'}")


def versions(subject: Subject) -> Outcome:
    """The kit reads the versions of modules as PHP does."""
    read = module_versions.read_versions(subject.portal.root)
    read.pop("main", None)
    if not read:
        return differs(f"no module below {module_versions.MODULES} says its version")
    said = subject.kernel(
        "$read = []; foreach (json_decode($argv[3]) as $name) { $arModuleVersion = [];"
        " include $argv[1] . '/bitrix/modules/' . $name . '/install/version.php';"
        " $read[$name] = $arModuleVersion['VERSION'] ?? null; } emit($read);",
        json.dumps(sorted(read)),
    )
    wrong = sorted(name for name, value in read.items() if said.get(name) != value)
    return differs(f"another version: {', '.join(wrong)}") if wrong else holds(f"{len(read)} versions read alike")


def update_command(subject: Subject) -> Outcome:
    """The product's command line has the command that updates modules."""
    root = subject.portal.root.resolve()
    if fault := updater.lacking(root):
        return unproven(f"{fault.what} ({fault.hint})")
    done = subprocess.run(
        updater.command(root, "list", user=subject.user), cwd=root, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    has = updater.COMMAND in done.stdout
    return judged(has, f"{updater.PROGRAM} lists {'' if has else 'no '}{updater.COMMAND}")


def constants(subject: Subject) -> Outcome:
    """The kit reads constants of ``dbconn.php`` as the kernel does."""
    text = subject.portal.dbconn
    read = {name: php.read_define(text, name) for name in _CONSTANTS}
    wanted = {
        name: value
        for name, value in read.items()
        # A text that is not quoted there is an expression, which the kit does not work out.
        if isinstance(value, int) or (isinstance(value, str) and (f"'{value}'" in text or f'"{value}"' in text))
    }
    if not wanted:
        return unproven("dbconn.php defines none of the constants that are compared")
    said = subject.kernel(
        "$read = []; foreach (json_decode($argv[3]) as $name)"
        " { $read[$name] = defined($name) ? constant($name) : null; } emit($read);",
        json.dumps(sorted(wanted)),
    )
    wrong = sorted(name for name, value in wanted.items() if said.get(name) != value)
    return differs(f"another value: {', '.join(wrong)}") if wrong else holds(f"{', '.join(wanted)} read alike")


def mail_queue(subject: Subject) -> Outcome:
    """A mail that is queued is a row that waits, with its fields serialised."""
    subject.kernel(
        "\\CEvent::Send('ENCAJA_PROBE', $argv[3], ['ENCAJA' => $argv[4]]); emit(true);", subject.site, subject.secret
    )
    rows = subject.database.rows("SELECT C_FIELDS, SUCCESS_EXEC FROM b_event WHERE EVENT_NAME = 'ENCAJA_PROBE'")
    if len(rows) != 1:
        return differs(f"{len(rows)} rows in b_event in place of one")
    try:
        fields = unserialize(rows[0]["C_FIELDS"] or "")
    except SerializedError:
        return differs("its fields are not serialised")
    if not isinstance(fields, dict) or fields.get("ENCAJA") != subject.secret:
        return differs("its fields are not those that were given")
    # Where mail runs, a page may have taken it already; there is no template for it, hence 0.
    return judged(rows[0]["SUCCESS_EXEC"] in {"N", "0"}, f"one row with state {rows[0]['SUCCESS_EXEC']}")


_HASH: Final = "emit(crypt(trim((string)file_get_contents($argv[3])), '$6$' . bin2hex(random_bytes(8)) . '$'));"
_LOGIN: Final = """
$USER = new \\CUser();
$said = $USER->Login($argv[4], trim((string)file_get_contents($argv[3])), 'N');
if ($said === true) { $USER->Logout(); }
emit([$said === true, is_array($said) ? strip_tags((string)($said['MESSAGE'] ?? '')) : (string)$said]);
"""


def login(subject: Subject) -> Outcome:
    """A hash of SHA-512 made outside of the kernel lets a person without a mark in."""
    accepted, words = _log_in(subject, None)
    return judged(accepted, "a log-in with a $6$ hash is " + ("accepted" if accepted else f"refused: {words}"))


def marked_login(subject: Subject) -> Outcome:
    """The same password with a mark does not."""
    if not _log_in(subject, None)[0]:
        return unproven("the same log-in is refused without the mark as well")
    subject.sweep(_ACCOUNT)
    accepted, _ = _log_in(subject, "socservices")
    return judged(not accepted, f"a log-in with EXTERNAL_AUTH_ID is {'accepted' if accepted else 'refused'}")


def _log_in(subject: Subject, mark: str | None) -> tuple[bool, str]:
    """Whether the kernel lets a made-up person in, and what it says.

    The password goes by a file that only the portal's user reads.
    """
    name = f"{TAG}_{secrets.token_hex(6)}"
    word = subject.portal.root.resolve().parent / ".encaja-probe"
    word.unlink(missing_ok=True)  # a killed probe's
    word.touch(mode=0o600)
    try:
        word.write_text(f"{secrets.token_hex(12)}Aa1!")
        if os.geteuid() == 0:
            shutil.chown(word, subject.user)
        hashed = subject.kernel(_HASH, str(word))
        subject.database.execute(
            "INSERT INTO b_user (LOGIN, PASSWORD, ACTIVE, NAME, EMAIL, LID, DATE_REGISTER, EXTERNAL_AUTH_ID)"
            " VALUES (%s, %s, 'Y', 'encaja', '', %s, NOW(), %s)",
            name, hashed, subject.site, mark,
        )  # fmt: skip
        accepted, words = subject.kernel(_LOGIN, str(word), name)
        return bool(accepted), str(words).strip()[:200]
    finally:
        word.unlink(missing_ok=True)


def recovery_row(subject: Subject) -> Outcome:
    """A recovery letter asked for one person is a row with the word, and the person's site becomes that of the call."""
    name = f"{TAG}_{secrets.token_hex(6)}"
    subject.database.execute(
        "INSERT INTO b_user (LOGIN, PASSWORD, ACTIVE, NAME, EMAIL, DATE_REGISTER)"
        " VALUES (%s, '', 'Y', 'encaja', '', NOW())",
        name,
    )
    number = subject.database.count("SELECT ID FROM b_user WHERE LOGIN = %s", name)
    subject.kernel(
        "(new \\CUser())->SendUserInfo((int)$argv[3], $argv[4], '', false, 'ENCAJA_PROBE'); emit(true);",
        str(number), subject.site,
    )  # fmt: skip
    rows = subject.database.rows("SELECT C_FIELDS FROM b_event WHERE EVENT_NAME = 'ENCAJA_PROBE'")
    if len(rows) != 1:
        return differs(f"{len(rows)} rows in b_event in place of one")
    try:
        fields = unserialize(rows[0]["C_FIELDS"] or "")
    except SerializedError:
        return unproven("the queue's fields are not serialised")
    if not isinstance(fields, dict) or str(fields.get("USER_ID")) != str(number) or not fields.get("CHECKWORD"):
        return differs("its fields are not USER_ID and CHECKWORD of the person")
    user = subject.database.rows("SELECT LID, CHECKWORD FROM b_user WHERE ID = %s", number)[0]
    if not user["CHECKWORD"] or user["LID"] != subject.site:
        return differs("the person's row has no CHECKWORD, or another site than the call's")
    return holds("one row with person and word; the person has the hash and the call's site")


def user_types(subject: Subject) -> Outcome:
    """The kit knows every mark of accounts that are no people."""
    said = subject.kernel("emit(array_values(\\Bitrix\\Main\\UserTable::getExternalUserTypes()));")
    unknown = sorted({str(mark).lower() for mark in said} - users.SYSTEM_MARKS)
    return judged(not unknown, f"not known to the kit: {', '.join(unknown)}" if unknown else f"all {len(said)} known")


def push_enabled(subject: Subject) -> Outcome:
    """The kernel's word on the push server follows from row, settings and mode."""
    said = bool(subject.kernel("\\CModule::IncludeModule('pull'); emit((bool)\\CPullOptions::GetNginxStatus());"))
    options_now = {
        row["NAME"].lower(): row["VALUE"]
        for row in subject.database.rows("SELECT NAME, VALUE FROM b_option WHERE MODULE_ID = 'pull'")
    }
    if options_now.get("server_mode") == "shared":
        return unproven("the portal uses the vendor's push server: settle push & pull first")
    wanted = options_now.get("nginx", subject.portal.section("pull").get("nginx"))
    if wanted is None:
        return unproven("neither a row nor the settings say whether there is a push server")
    words = "b_option" if "nginx" in options_now else ".settings.php"
    return judged(said == (wanted == "Y"), f"{words} says {wanted}, the kernel {'Y' if said else 'N'}")


def messenger_files(subject: Subject) -> Outcome:
    """Files in the messenger follow from push server, disk and its conversion."""
    said = subject.kernel(
        "foreach (['pull', 'disk', 'im'] as $name) { \\CModule::IncludeModule($name); }"
        " emit([(bool)\\CIMDisk::Enabled(), (bool)\\CPullOptions::GetNginxStatus(),"
        " \\COption::GetOptionString('disk', 'successfully_converted', '')]);"
    )
    return judged(said[0] == (said[1] and said[2] == "Y"),
                  f"push server {'on' if said[1] else 'off'}, disk converted {said[2] or 'no'}: files are"
                  f" {'on' if said[0] else 'off'}")  # fmt: skip


def reindex_interface(subject: Subject) -> Outcome:
    """The search index is rebuilt in steps by one call."""
    count = subject.kernel(
        "\\CModule::IncludeModule('search'); $call = new \\ReflectionMethod('CSearch', 'ReIndexAll');"
        " emit($call->isStatic() && $call->isPublic() ? $call->getNumberOfParameters() : -1);"
    )
    return judged(int(count) >= 4, f"CSearch::ReIndexAll takes {count} arguments" if count >= 0 else "it is not public")


def registration_interface(subject: Subject) -> Outcome:
    """The box is registered at the vendor by one call; a probe does not make it."""
    public = subject.kernel(
        "\\CModule::IncludeModule('rest'); $call = new \\ReflectionMethod('\\Bitrix\\Rest\\OAuthService', 'register');"
        " emit($call->isStatic() && $call->isPublic() && $call->getNumberOfRequiredParameters() === 0);"
    )
    return judged(bool(public), f"OAuthService::register can {'' if public else 'not '}be called without arguments")


_OBSERVED: Final = "Observed in release 26.250."
ASSUMPTIONS: Final[Sequence[Assumption]] = (
    assumption("kernel-version",
               (f"The release is SM_VERSION in {VERSION_FILE}.", f"La versión es SM_VERSION en {VERSION_FILE}."),
               version_constant, _OBSERVED, ("portal.contract",)),
    assumption("kernel-options",
               ("An option that the kernel stores is a row of b_option; names do not mind capitals.",
                "Una opción que guarda el núcleo es una fila de b_option; no importan las mayúsculas del nombre."),
               options, _OBSERVED, ("portal.site", "portal.domain"), writes=OPTIONS),
    assumption("kernel-option-of-site",
               ("A row of b_option_site wins over the option of all sites.",
                "Una fila de b_option_site prevalece sobre la opción de todos los sitios."),
               option_of_site, _OBSERVED, ("portal.site", "portal.domain"), writes=OPTIONS),
    assumption("kernel-purge",
               ("What SQL writes into b_option counts after the kit's purge of the caches.",
                "Lo que SQL escribe en b_option cuenta tras vaciar el kit las cachés."),
               purged, _OBSERVED, ("portal.cache",), writes=OPTIONS),
    assumption("kernel-module-row",
               ("A row of b_module makes a module installed; without its files it is not loaded.",
                "Una fila de b_module instala un módulo; sin sus ficheros no se carga."),
               module_row, _OBSERVED, ("portal.cloud",), writes=_MODULE),
    assumption("kernel-settings",
               ("The sections of .settings.php count, those of .settings_extra.php replacing them whole.",
                "Cuentan las secciones de .settings.php; las de .settings_extra.php las sustituyen enteras."),
               settings, _OBSERVED, ("portal.site", "portal.settings", "restore.portal_setup")),
    assumption("kernel-licence",
               ("The licence's key is $LICENSE_KEY in bitrix/license_key.php.",
                "La clave de la licencia es $LICENSE_KEY en bitrix/license_key.php."),
               licence, _OBSERVED, ("portal.cloud", "portal.licence")),
    assumption("kernel-module-versions",
               ("A module's version is in $arModuleVersion of its install/version.php.",
                "La versión de un módulo está en $arModuleVersion de su install/version.php."),
               versions, _OBSERVED, ("portal.module_versions", "restore.finish")),
    assumption("kernel-updater",
               (f"The command line {updater.PROGRAM} has {updater.COMMAND}, once composer has installed its console.",
                f"La línea de comandos {updater.PROGRAM} tiene {updater.COMMAND}, si composer instaló su consola."),
               update_command, _OBSERVED, ("portal.updater", "update.commands")),
    assumption("kernel-constants",
               ("Constants of dbconn.php are those of the kernel.",
                "Las constantes de dbconn.php son las del núcleo."),
               constants, _OBSERVED, ("portal.background_work", "portal.cloud", "portal.php")),
    assumption("kernel-mail-queue",
               ("CEvent::Send adds one row to b_event, which waits with SUCCESS_EXEC N.",
                "CEvent::Send añade una fila a b_event, que espera con SUCCESS_EXEC N."),
               mail_queue, _OBSERVED, ("portal.background_work", "portal.recovery"), writes=MAIL),
    assumption("kernel-login",
               ("A password kept as a $6$ hash lets in a person whose EXTERNAL_AUTH_ID is empty.",
                "Una contraseña guardada como $6$ deja entrar a una persona con EXTERNAL_AUTH_ID vacío."),
               login, _OBSERVED, ("portal.users", "portal.recovery"), writes=_ACCOUNT),
    assumption("kernel-login-mark",
               ("A password does not let in a person whose EXTERNAL_AUTH_ID is not empty.",
                "Una contraseña no deja entrar a una persona con EXTERNAL_AUTH_ID no vacío."),
               marked_login, _OBSERVED, ("portal.users",), writes=_ACCOUNT),
    assumption("kernel-recovery",
               ("CUser::SendUserInfo adds one row to b_event with USER_ID and CHECKWORD; LID becomes the site.",
                "CUser::SendUserInfo añade una fila a b_event con USER_ID y CHECKWORD; LID pasa a ser el sitio."),
               recovery_row, _OBSERVED, ("portal.recovery", "portal.kernel"), writes=(*MAIL, *_ACCOUNT)),
    assumption("kernel-user-types",
               ("Accounts that are no people carry one of the marks that the kit knows.",
                "Las cuentas que no son personas llevan una de las marcas que el kit conoce."),
               user_types, _OBSERVED, ("portal.users",)),
    assumption("kernel-push-server",
               ("Whether there is a push server is said by pull.nginx: the row, else .settings.php.",
                "Si hay servidor push lo dice pull.nginx: la fila o, si no, .settings.php."),
               push_enabled, _OBSERVED, ("portal.pull",),
               modules=("pull",)),
    assumption("kernel-messenger-files",
               ("The messenger takes files when there is a push server and disk.successfully_converted is Y.",
                "El mensajero admite ficheros si hay servidor push y disk.successfully_converted es Y."),
               messenger_files, _OBSERVED, ("portal.pull", "portal.checks_case"), modules=("pull", "disk", "im")),
    assumption("kernel-reindex",
               ("CSearch::ReIndexAll(full, seconds, state, clear) rebuilds the index in steps.",
                "CSearch::ReIndexAll(full, seconds, state, clear) rehace el índice por pasos."),
               reindex_interface, _OBSERVED, ("portal.kernel",), modules=("search",)),
    assumption("kernel-registration",
               ("OAuthService::register() registers the portal at the vendor.",
                "OAuthService::register() registra el portal en el proveedor."),
               registration_interface, _OBSERVED, ("portal.kernel", "portal.applications"), modules=("rest",)),
)  # fmt: skip
