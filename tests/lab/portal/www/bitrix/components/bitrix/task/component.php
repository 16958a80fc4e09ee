<?php
global $USER;
$task = DB::row('SELECT t.*, f.POSTS FROM b_tasks t LEFT JOIN b_forum_topic f ON f.ID=t.FORUM_TOPIC_ID WHERE t.ID=?', (int)$route['id']);
if ($task === null) {
    require $_SERVER['DOCUMENT_ROOT'] . '/404.php';
    return;
}
if ($_SERVER['REQUEST_METHOD'] === 'POST' && CPortalSession::isValidToken() && trim((string)($_POST['comment'] ?? '')) !== '') {
    CTasks::comment((int)$task['ID'], trim((string)$_POST['comment']), $USER->GetID());
    redirect($_SERVER['REQUEST_URI']);
}
$comments = CTasks::comments((int)$task['FORUM_TOPIC_ID']);
page_begin((string)$task['TITLE'], 'task');
echo '<div id="task" data-id="', $task['ID'], '"><p id="task-description">', nl2br(h($task['DESCRIPTION'])), '</p><ul id="task-checklist">';
foreach (DB::rows('SELECT * FROM b_tasks_checklist_items WHERE TASK_ID=? ORDER BY SORT_INDEX, ID', $task['ID']) as $item) {
    echo '<li>', $item['IS_COMPLETE'] === 'Y' ? '✔ ' : '', h($item['TITLE']), '</li>';
}
echo '</ul><h2>Comments</h2><div id="comments" data-shown="', count($comments), '" data-total="', (int)$task['POSTS'], '">';
foreach ($comments as $c) {
    echo '<div class="comment" data-id="', $c['ID'], '"><span class="muted">', h($c['AUTHOR_NAME']), ' ', h($c['POST_DATE']), '</span><div class="comment-text">', nl2br(h($c['POST_MESSAGE'])), '</div></div>';
}
echo '</div><form id="comment-form" method="post"><input type="hidden" name="sessid" value="', h(CPortalSession::id()), '"><textarea id="comment-text" name="comment" rows="3" cols="60"></textarea> <button>Comment</button></form></div>';
page_end();
