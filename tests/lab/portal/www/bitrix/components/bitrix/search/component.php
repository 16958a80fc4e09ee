<?php
$query = trim((string)($_GET['q'] ?? ''));
$found = CSearch::find($query);
page_begin('Search', 'search');
echo '<p id="search-count" data-count="', count($found), '">', count($found), ' found for “', h($query), '”</p><ol id="search-results">';
foreach ($found as $row) {
    echo '<li class="search-result" data-kind="', h($row['PARAM1']), '"><a href="', h($row['URL']), '">', h($row['TITLE']), '</a></li>';
}
echo '</ol>';
page_end();
