<?php
$type = $route['type'];
$filter = array_filter(['STATUS_ID' => $_GET['STATUS_ID'] ?? '', 'STAGE_ID' => $_GET['STAGE_ID'] ?? '', 'ASSIGNED_BY_ID' => $_GET['ASSIGNED_BY_ID'] ?? '', '>=DATE_CREATE' => $_GET['from'] ?? '', '<=DATE_CREATE' => $_GET['to'] ?? ''], static fn($v) => $v !== '');
$total = CCrm::count($type, $filter);
if (($_GET['export'] ?? '') === 'csv') {
    // Whatever rows were ticked, an export takes all that the filter lets through; the cloud breaks down under too many.
    if (is_cloud() && $total > (int)COption::GetOptionString('encaja', 'export_limit', '1000')) {
        http_response_code(500);
        exit('Internal error');
    }
    header('Content-Type: text/csv; charset=utf-8');
    header("Content-Disposition: attachment; filename=\"$type.csv\"");
    // A file made for one download goes through the internal address of the directory for temporary files.
    $fast = defined('BX_TEMPORARY_FILES_DIRECTORY') && COption::GetOptionString('main', 'bx_fast_download') === 'Y';
    $name = 'export-' . bin2hex(random_bytes(8)) . '.csv';
    $out = fopen($fast ? rtrim(BX_TEMPORARY_FILES_DIRECTORY, '/') . "/$name" : 'php://output', 'w');
    if ($fast) {
        header("X-Accel-Redirect: /bx_tmp_download/$name");
    }
    foreach (CCrm::find($type, $filter, [], 0, max(1, $total)) as $i => $row) {
        if ($i === 0) {
            fputcsv($out, array_keys($row), ';', '"', '');
        }
        fputcsv($out, $row, ';', '"', '');
    }
    return;
}
$page = max(1, (int)($_GET['page'] ?? 1));
$rows = CCrm::find($type, $filter, ['ID' => 'DESC'], ($page - 1) * 50, 50);
$multi = CCrm::multi($type, array_column($rows, 'ID'));
page_begin(['lead' => 'Leads', 'deal' => 'Deals', 'contact' => 'Contacts', 'company' => 'Companies'][$type], "crm-$type-list");
echo '<p><a id="crm-add" href="/crm/', $type, '/details/0/">Add</a> · <span id="crm-total" data-total="', $total, '">', $total, ' records</span> · <a id="crm-export" href="?', h(http_build_query(['export' => 'csv'] + $_GET)), '">Export to CSV</a></p>',
    '<table id="crm-list"><tr><th>ID<th>Name<th>Stage<th>Phone<th>Created</tr>';
foreach ($rows as $row) {
    echo '<tr class="crm-row" data-id="', $row['ID'], '"><td>', $row['ID'], '<td><a href="/crm/', $type, '/details/', $row['ID'], '/">', h(($row['TITLE'] ?? '') ?: ($row['FULL_NAME'] ?? '')), '</a><td>', h($row['STATUS_ID'] ?? $row['STAGE_ID'] ?? ''), '<td>', h($multi[$row['ID']]['PHONE'][0]['VALUE'] ?? ''), '<td>', h($row['DATE_CREATE']), '</tr>';
}
echo '</table><p>', $page > 1 ? '<a id="page-previous" href="?page=' . ($page - 1) . '">‹</a> ' : '', $page * 50 < $total ? '<a id="page-next" href="?page=' . ($page + 1) . '">›</a>' : '', '</p>';
page_end();
