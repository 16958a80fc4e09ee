<?php
global $LOGIN_MESSAGE;
$path = (string)parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
$back = (string)($_POST['backurl'] ?? $_GET['backurl'] ?? (preg_match('#^/(auth|login)#', $path) ? '/stream/' : $_SERVER['REQUEST_URI']));
page_begin('Log in', 'login');
if ($LOGIN_MESSAGE !== null) {
    echo '<p id="login-message" class="message-', $LOGIN_MESSAGE[0], '">', h($LOGIN_MESSAGE[1]), '</p>';
} elseif (isset($_SESSION['SESS_DROPPED'])) {
    echo '<p id="login-dropped" class="message-error" data-reason="', h($_SESSION['SESS_DROPPED']), '">Your session has ended.</p>';
}
$network = is_cloud();
?>
<div id="login-forms">
<?php if (($_GET['change_password'] ?? '') === 'yes'): ?>
<form id="change-form" method="post" action="/auth/?change_password=yes"><input type="hidden" name="TYPE" value="CHANGE_PWD">
  <input name="USER_LOGIN" value="<?= h($_REQUEST['USER_LOGIN'] ?? '') ?>" placeholder="Login"><input name="USER_CHECKWORD" value="<?= h($_REQUEST['USER_CHECKWORD'] ?? '') ?>" placeholder="Check string">
  <input id="new-password" type="password" name="USER_PASSWORD" placeholder="New password"><input id="new-password-again" type="password" name="USER_CONFIRM_PASSWORD" placeholder="Again"><button>Change password</button></form>
<?php endif ?>
<form id="login-form" method="post" action="/auth/?login=yes"><input type="hidden" name="AUTH_FORM" value="Y"><input type="hidden" name="TYPE" value="AUTH"><input type="hidden" name="backurl" value="<?= h($back) ?>">
  <input id="login" name="USER_LOGIN" placeholder="Login" value="<?= h($_POST['USER_LOGIN'] ?? '') ?>" autocomplete="username"><input id="password" type="password" name="USER_PASSWORD" placeholder="Password" autocomplete="current-password">
  <label><input id="remember" type="checkbox" name="USER_REMEMBER" value="Y"> Remember me</label><button id="login-button">Log in</button></form>
<?php if ($network): ?>
<form id="network-form" method="post" action="/auth/?login=yes"><input type="hidden" name="TYPE" value="NETWORK"><input type="hidden" name="backurl" value="<?= h($back) ?>">
  <b>Bitrix24.Network</b><input id="network-login" name="USER_LOGIN" placeholder="E-mail"><input id="network-password" type="password" name="USER_PASSWORD" placeholder="Password"><button id="network-button">Log in with the network</button></form>
<?php endif ?>
<form id="forgot-form" method="post" action="/auth/?forgot_password=yes"><input type="hidden" name="TYPE" value="SEND_PWD">
  <b>Forgot your password?</b><input id="forgot-login" name="USER_LOGIN" placeholder="Login"><input id="forgot-email" name="USER_EMAIL" placeholder="or e-mail"><?php
if (COption::GetOptionString('main', 'captcha_restoring_password', 'N') === 'Y'):
    $sid = bin2hex(random_bytes(16));
    DB::insert('b_captcha', ['ID' => $sid, 'CODE' => strtoupper(bin2hex(random_bytes(3))), 'IP' => substr(CPortalSession::address(), 0, 15), 'DATE_CREATE' => now()]);
?><input type="hidden" name="captcha_sid" value="<?= $sid ?>"><input id="captcha-word" name="captcha_word" placeholder="Word of the picture"><?php endif ?><button>Send a link</button></form>
</div>
<?php
page_end();
