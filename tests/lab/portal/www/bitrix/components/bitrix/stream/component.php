<?php
global $USER;
page_begin('Feed', 'stream');
echo '<h2>Notifications</h2><ul id="notifications">';
foreach (CIMNotify::list($USER->GetID()) as $row) {
    echo '<li class="notification" data-id="', $row['ID'], '">', CIMMessage::html((string)$row['MESSAGE']), ' <span class="muted">', h($row['DATE_CREATE']), '</span></li>';
}
echo '</ul><h2>My tasks</h2><ul id="my-tasks">';
foreach (DB::rows("SELECT ID, TITLE FROM b_tasks WHERE RESPONSIBLE_ID=? AND STATUS<>'5' ORDER BY ID DESC LIMIT 10", $USER->GetID()) as $row) {
    echo '<li><a href="', CTasks::path($USER->GetID(), (int)$row['ID']), '">', h($row['TITLE']), '</a></li>';
}
echo '</ul>';
page_end();
