<?php
global $USER;
$me = $USER->GetID();
$target = (string)($_GET['IM_DIALOG'] ?? '');
$chat = str_starts_with($target, 'chat') ? (int)substr($target, 4) : ((int)$target > 0 && (int)$target !== $me ? CIMMessage::dialog($me, (int)$target) : 0);
$dialogs = DB::rows("SELECT c.ID, c.TITLE, c.TYPE, c.LAST_MESSAGE_ID, u.ID USER_ID, u.NAME, u.LAST_NAME, u.LOGIN FROM b_im_relation r JOIN b_im_chat c ON c.ID=r.CHAT_ID
    LEFT JOIN b_im_relation o ON o.CHAT_ID=c.ID AND o.USER_ID<>r.USER_ID AND c.TYPE='P' LEFT JOIN b_user u ON u.ID=o.USER_ID WHERE r.USER_ID=? AND r.MESSAGE_TYPE<>'S' ORDER BY c.LAST_MESSAGE_ID DESC LIMIT 50", $me);
$chat = $chat ?: (int)($dialogs[0]['ID'] ?? 0);
$member = CIMMessage::isMember($chat, $me);
page_begin('Messenger', 'messenger');
echo '<div id="im" data-chat-id="', $chat, '"><ul id="im-dialogs">';
foreach ($dialogs as $d) {
    $link = $d['TYPE'] === 'P' ? (int)$d['USER_ID'] : "chat{$d['ID']}";
    echo '<li><a class="im-dialog', (int)$d['ID'] === $chat ? ' active' : '', '" data-chat-id="', $d['ID'], '" href="/online/?IM_DIALOG=', $link, '">', h($d['TITLE'] ?: CUser::name($d)), '</a></li>';
}
echo '</ul><section><div id="im-messages">';
foreach ($member ? CIMMessage::messages($chat) : [] as $m) {
    echo '<div class="im-message" data-id="', $m['id'], '"><b>', h($m['author']), '</b><span class="im-text">', h($m['text']), '</span>';
    foreach ($m['files'] as $f) {
        echo '<a class="im-file" href="', h($f['url']), '">', h($f['name']), '</a>';
    }
    echo '</div>';
}
echo '</div><form id="im-form"><input id="im-text" autocomplete="off" placeholder="Message">';
if (CIMDisk::Enabled()) {
    echo '<input id="im-file-input" type="file" hidden><button id="im-attach" type="button" title="Attach a file" aria-label="Attach a file">📎</button>';
}
echo '<button id="im-send">Send</button></form><p id="im-error" class="message-error"></p></section></div>';
page_end();
