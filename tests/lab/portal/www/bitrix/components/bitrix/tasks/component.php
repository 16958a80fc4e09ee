<?php
global $USER;
$user = (int)($route['user'] ?? 0) ?: $USER->GetID();
page_begin('Tasks', 'tasks');
echo '<table id="tasks"><tr><th>Task<th>Deadline<th>Comments</tr>';
foreach (DB::rows('SELECT t.ID, t.TITLE, t.DEADLINE, f.POSTS FROM b_tasks t LEFT JOIN b_forum_topic f ON f.ID=t.FORUM_TOPIC_ID WHERE t.RESPONSIBLE_ID=? OR t.CREATED_BY=? ORDER BY t.ID DESC LIMIT 100', $user, $user) as $row) {
    echo '<tr data-id="', $row['ID'], '"><td><a href="', CTasks::path($user, (int)$row['ID']), '">', h($row['TITLE']), '</a><td>', h($row['DEADLINE']), '<td>', (int)$row['POSTS'], '</tr>';
}
echo '</table>';
page_end();
