<?php
page_begin('Calls', 'telephony');
echo '<table id="calls"><tr><th>When<th>Number<th>Line<th>Seconds<th>Result<th>Record</tr>';
foreach (DB::rows('SELECT * FROM b_voximplant_statistic ORDER BY ID DESC LIMIT 100') as $row) {
    echo '<tr class="call" data-call-id="', h($row['CALL_ID']), '"><td>', h($row['CALL_START_DATE']), '<td>', h($row['PHONE_NUMBER']), '<td>', h($row['PORTAL_NUMBER']), '<td>', $row['CALL_DURATION'], '<td>', h($row['CALL_FAILED_CODE']), '<td>',
        $row['CALL_WEBDAV_ID'] ? '<a class="recording" href="' . CDisk::url((int)$row['CALL_WEBDAV_ID']) . '">record</a>' : '', '</tr>';
}
echo '</table>';
page_end();
