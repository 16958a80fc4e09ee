<?php
/** The frame of every page, and what a page may do before it shows itself. */

/** Runs a page of the portal for a visitor who is logged in; anybody else gets the log-in form. */
function run_page(string $page, array $route): void
{
    global $USER;
    header('Cache-Control: no-store');
    handle_login();
    if ($page !== 'login' && (!$USER->IsAuthorized() || !CSite::isReadable())) {
        http_response_code(CSite::isReadable() ? 200 : 403);
        $page = 'login';
    }
    require $_SERVER['DOCUMENT_ROOT'] . "/bitrix/components/bitrix/$page/component.php";
}

/** Forms of log-in, log-out and lost passwords, which any address takes. */
function handle_login(): void
{
    global $USER, $LOGIN_MESSAGE;
    $LOGIN_MESSAGE = null;
    if (($_GET['logout'] ?? '') === 'yes' && $USER->IsAuthorized() && CPortalSession::isValidToken()) {
        $USER->Logout();
        redirect('/');
    }
    if ($_SERVER['REQUEST_METHOD'] !== 'POST' || !isset($_POST['TYPE'])) {
        return;
    }
    $login = trim((string)($_POST['USER_LOGIN'] ?? ''));
    switch ($_POST['TYPE']) {
        case 'AUTH':
            $result = $USER->Login($login, (string)($_POST['USER_PASSWORD'] ?? ''), (string)($_POST['USER_REMEMBER'] ?? 'N'));
            break;
        case 'NETWORK':
            $id = CSocServBitrix24Net::authorize($login, (string)($_POST['USER_PASSWORD'] ?? ''));
            $result = $id !== null && $USER->Authorize($id) ? true : 'Bitrix24.Network did not let you in.';
            break;
        case 'SEND_PWD':
            $answer = CUser::SendPassword($login, trim((string)($_POST['USER_EMAIL'] ?? '')), false, (string)($_POST['captcha_word'] ?? ''), (string)($_POST['captcha_sid'] ?? ''));
            $LOGIN_MESSAGE = [strtolower($answer['TYPE']), $answer['MESSAGE']];
            return;
        case 'CHANGE_PWD':
            $result = ($_POST['USER_PASSWORD'] ?? '') !== ($_POST['USER_CONFIRM_PASSWORD'] ?? '')
                ? 'The two passwords differ.' : $USER->ChangePassword($login, (string)($_POST['USER_CHECKWORD'] ?? ''), (string)$_POST['USER_PASSWORD']);
            if ($result === true) {
                $LOGIN_MESSAGE = ['ok', 'The password was changed. You can log in now.'];
                return;
            }
            break;
        default:
            return;
    }
    if ($result === true) {
        $back = (string)($_POST['backurl'] ?? '');
        redirect(preg_match('#^/[^/\\\\]#', $back) ? $back : '/stream/');
    }
    $LOGIN_MESSAGE = ['error', $result];
}

function redirect(string $url): never
{
    header("Location: $url", true, 302);
    exit;
}

function page_begin(string $title, string $id = ''): void
{
    global $USER;
    $name = COption::GetOptionString('main', 'site_name') ?: 'Portal';
    header('Content-Type: text/html; charset=utf-8');
    echo '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>', h($title), ' - ', h($name), '</title>',
        '<link rel="stylesheet" href="/bitrix/templates/bitrix24/style.css">', '</head><body id="page-', h($id ?: 'plain'), '">';
    $banner = COption::GetOptionString('encaja', 'banner');
    if ($banner !== '') {
        echo '<div id="encaja-banner" role="alert">', h($banner), '</div>';
    }
    echo '<header id="header"><a id="logo" href="/stream/">', h($name), '</a>';
    if ($USER->IsAuthorized()) {
        echo '<nav id="menu"><a href="/stream/">Feed</a><a href="/tasks/">Tasks</a><a href="/crm/lead/list/">Leads</a><a href="/crm/deal/list/">Deals</a><a href="/crm/contact/list/">Contacts</a><a href="/crm/company/list/">Companies</a>',
            '<a href="/online/">Messenger</a><a href="/telephony/">Calls</a><a href="/company/">Staff</a></nav>',
            '<form id="search-form" action="/search/"><input id="search-query" name="q" placeholder="Search" value="', h($_GET['q'] ?? ''), '"></form>',
            '<span id="user-block" data-user-id="', $USER->GetID(), '"><a id="user-name" href="/company/personal/user/', $USER->GetID(), '/">', h(trim($USER->GetParam('NAME') . ' ' . $USER->GetParam('LAST_NAME'))), '</a> ',
            '<a id="logout" href="/?logout=yes&amp;sessid=', h(CPortalSession::id()), '">Log out</a></span>';
    }
    echo '</header><main id="content"><h1 id="page-title">', h($title), '</h1>';
}

function page_end(): void
{
    global $USER;
    echo '</main>';
    if ($USER->IsAuthorized()) {
        $flags = JSON_HEX_TAG | JSON_HEX_AMP | JSON_UNESCAPED_SLASHES;
        echo '<script id="pull-config" type="application/json">', json_encode(CPullOptions::config($USER->GetID()), $flags), '</script>',
            '<script id="page-config" type="application/json">', json_encode(['user' => $USER->GetID(), 'sessid' => CPortalSession::id()], $flags), '</script>',
            '<aside id="call-card" hidden></aside><script src="/bitrix/templates/bitrix24/script.js"></script>';
    }
    echo '<footer id="footer" data-queries="', DB::$queries, '" data-ms="', round((microtime(true) - START_EXEC_TIME) * 1000, 1), '">stand-in portal ', SM_VERSION, '</footer></body></html>';
}
