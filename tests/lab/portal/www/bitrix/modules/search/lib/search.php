<?php
/** The search index b_search_*: stems of its own, FULLTEXT of the database, or a real-time index of Sphinx. */
final class CSearch
{
    private const STOP_WORDS = ['ABOUT', 'ARE', 'COM', 'FOR', 'FROM', 'HOW', 'THAT', 'THE', 'THIS', 'UND', 'WAS', 'WHAT', 'WHEN', 'WHERE', 'WHO', 'WILL', 'WITH', 'WWW'];
    private static ?mysqli $sphinx = null;

    public static function engine(): string
    {
        return COption::GetOptionString('search', 'full_text_engine', 'bitrix');
    }

    /** Records to index when the answer has gone out, type => ids. */
    private static array $changed = [];

    public static function indexCrm(string $type, int $id): void
    {
        if (self::$changed === []) {
            register_shutdown_function(static function (): void {
                if (function_exists('fastcgi_finish_request')) {
                    fastcgi_finish_request();
                }
                foreach (self::$changed as $type => $ids) {
                    self::write(array_values(self::crmDocuments($type, 't.ID IN (' . implode(',', array_keys($ids)) . ')')));
                }
            });
        }
        self::$changed[$type][$id] = true;
    }

    public static function index(string $module, string $item, string $title, string $body, string $url, string $kind): void
    {
        self::write([[$module, $item, $title, $body, $url, $kind]]);
    }

    public static function remove(string $module, string $item): void
    {
        $id = (int)DB::val('SELECT ID FROM b_search_content WHERE MODULE_ID=? AND ITEM_ID=?', $module, $item);
        foreach (['b_search_content_text', 'b_search_content_stem', 'b_search_content_site', 'b_search_content_right'] as $table) {
            DB::q("DELETE FROM $table WHERE SEARCH_CONTENT_ID=?", $id);
        }
        DB::q('DELETE FROM b_search_content WHERE ID=?', $id);
        if (self::engine() === 'sphinx') {
            self::sphinx()?->query('DELETE FROM ' . self::sphinxIndex() . " WHERE id=$id");
        }
    }

    /**
     * Rebuilds the index. Answers with the number of documents, or after $seconds with where to go on: pass that as $state.
     */
    public static function ReIndexAll(bool $full = false, int $seconds = 0, array $state = [], bool $clear = false): int|array
    {
        $began = microtime(true);
        if ($state === []) {
            foreach (['b_search_content', 'b_search_content_text', 'b_search_content_stem', 'b_search_content_site', 'b_search_content_right', 'b_search_content_title', 'b_search_stem'] as $table) {
                DB::q("TRUNCATE TABLE $table");
            }
            if (self::engine() === 'sphinx') {
                self::sphinx()?->query('TRUNCATE RTINDEX ' . self::sphinxIndex());
            }
        }
        $sources = [...array_keys(CCrm::TYPES), 'tasks'];
        $at = array_search($state['MODULE'] ?? $sources[0], $sources, true);
        $count = (int)($state['CNT'] ?? 0);
        $last = (int)($state['ID'] ?? 0);
        for (; $at < count($sources); $at++, $last = 0) {
            while ($documents = self::documents($sources[$at], $last)) {
                self::write(array_values($documents));
                $last = max(array_keys($documents));
                $count += count($documents);
                if ($seconds > 0 && microtime(true) - $began > $seconds) {
                    return ['MODULE' => $sources[$at], 'ID' => $last, 'CNT' => $count];
                }
            }
        }
        return $count;
    }

    /** The next documents of a source after an ID, by ID. */
    private static function documents(string $source, int $after): array
    {
        if ($source !== 'tasks') {
            return self::crmDocuments($source, "t.ID>$after ORDER BY t.ID LIMIT 1000");
        }
        $documents = [];
        foreach (DB::rows('SELECT ID, TITLE, DESCRIPTION, RESPONSIBLE_ID FROM b_tasks WHERE ID>? ORDER BY ID LIMIT 1000', $after) as $row) {
            $documents[(int)$row['ID']] = ['tasks', $row['ID'], $row['TITLE'], (string)$row['DESCRIPTION'], CTasks::path((int)$row['RESPONSIBLE_ID'], (int)$row['ID']), 'TASK'];
        }
        return $documents;
    }

    private static function crmDocuments(string $type, string $where): array
    {
        $def = CCrm::TYPES[$type];
        $title = ['lead' => "CONCAT_WS(' ', t.TITLE, t.FULL_NAME, t.COMPANY_TITLE)", 'contact' => 't.FULL_NAME'][$type] ?? 't.TITLE';
        $documents = [];
        foreach (DB::rows("SELECT t.ID, $title TITLE, t.COMMENTS FROM {$def['table']} t WHERE $where") as $row) {
            $documents[(int)$row['ID']] = ['crm', "{$def['name']}.{$row['ID']}", (string)$row['TITLE'], (string)$row['COMMENTS'], "/crm/$type/details/{$row['ID']}/", $def['name']];
        }
        foreach (CCrm::multi($type, array_keys($documents)) as $id => $kinds) {
            foreach ($kinds as $values) {
                $documents[$id][3] .= ' ' . implode(' ', array_column($values, 'VALUE'));
            }
        }
        return $documents;
    }

    /** @param list<array{string, string, string, string, string, string}> $documents module, item, title, body, address, kind */
    private static function write(array $documents): void
    {
        if ($documents === []) {
            return;
        }
        $rows = array_map(static fn($d) => [now(), $d[0], $d[1], mb_substr($d[2], 0, 250), $d[3], $d[4], $d[5]], $documents);
        foreach (array_chunk($rows, 1000) as $chunk) {
            $values = implode(',', array_map(static fn($r) => '(' . implode(',', array_map(DB::quote(...), $r)) . ')', $chunk));
            DB::$link->query("INSERT INTO b_search_content (DATE_CHANGE, MODULE_ID, ITEM_ID, TITLE, BODY, URL, PARAM1) VALUES $values
                ON DUPLICATE KEY UPDATE DATE_CHANGE=VALUES(DATE_CHANGE), TITLE=VALUES(TITLE), BODY=VALUES(BODY), URL=VALUES(URL)");
        }
        $keys = [];
        foreach (DB::rows('SELECT ID, MODULE_ID, ITEM_ID FROM b_search_content WHERE ITEM_ID IN (?)', array_map(static fn($d) => (string)$d[1], $documents)) as $row) {
            $keys[$row['MODULE_ID']][$row['ITEM_ID']] = (int)$row['ID'];
        }
        $texts = $stems = [];
        foreach ($documents as $d) {
            $id = $keys[$d[0]][$d[1]];
            $text = mb_strtoupper("$d[2] $d[3]");
            $texts[] = [$id, md5($text), $text];
            foreach (self::words($text) as $word) {
                $stems[] = [$id, $word];
            }
        }
        DB::bulk('b_search_content_text', 'SEARCH_CONTENT_ID, SEARCH_CONTENT_MD5, SEARCHABLE_CONTENT', $texts, 'REPLACE');
        $sites = array_map(static fn($t) => [$t[0], 's1'], $texts);
        DB::bulk('b_search_content_site', 'SEARCH_CONTENT_ID, SITE_ID', $sites, 'REPLACE');
        match (self::engine()) {
            'bitrix' => self::writeStems($stems),
            'sphinx' => self::writeSphinx($documents, $keys),
            default => null,
        };
    }

    private static function writeStems(array $stems): void
    {
        $words = array_values(array_unique(array_column($stems, 1)));
        DB::bulk('b_search_stem', 'STEM', array_map(static fn($w) => [$w], $words), 'INSERT IGNORE');
        $ids = $words ? DB::col('SELECT STEM, ID FROM b_search_stem WHERE STEM IN (?)', $words) : [];
        $ids = array_change_key_case($ids, CASE_UPPER);
        $rows = [];
        foreach ($stems as [$document, $word]) {
            if (isset($ids[$word])) {
                $rows[] = [$document, 'en', (int)$ids[$word], 1, 1];
            }
        }
        DB::bulk('b_search_content_stem', 'SEARCH_CONTENT_ID, LANGUAGE_ID, STEM, TF, PS', $rows, 'INSERT IGNORE');
    }

    private static function writeSphinx(array $documents, array $keys): void
    {
        $link = self::sphinx();
        foreach ($link === null ? [] : array_chunk($documents, 200) as $chunk) {
            $values = array_map(static fn($d) => sprintf("(%d,'%s','%s')", $keys[$d[0]][$d[1]], addslashes($d[2]), addslashes($d[3])), $chunk);
            $link->query('REPLACE INTO ' . self::sphinxIndex() . ' (id, title, body) VALUES ' . implode(',', $values));
        }
    }

    private static function sphinxIndex(): string
    {
        return preg_replace('/\W/', '', COption::GetOptionString('search', 'sphinx_index_name', 'bitrix'));
    }

    /** The key that the engine mysql reads. The module's script does not make it, so the engine does, when it is first used. */
    private static function needFulltext(): void
    {
        if (!DB::rows("SHOW INDEX FROM b_search_content_text WHERE Index_type='FULLTEXT'")) {
            DB::q('ALTER TABLE b_search_content_text ADD FULLTEXT KEY ix_search_content_text (SEARCHABLE_CONTENT)');
        }
    }

    private static function sphinx(): ?mysqli
    {
        if (self::$sphinx === null) {
            [$host, $port] = array_pad(explode(':', COption::GetOptionString('search', 'sphinx_connection', '127.0.0.1:9306')), 2, '9306');
            try {
                self::$sphinx = new mysqli($host === 'localhost' ? '127.0.0.1' : $host, '', '', '', (int)$port);
            } catch (mysqli_sql_exception $e) {
                error_log("sphinx at $host:$port: {$e->getMessage()}");
            }
        }
        return self::$sphinx;
    }

    /** @return list<string> words to look for, upper case */
    private static function words(string $text): array
    {
        preg_match_all('/[\p{L}\p{N}]{2,50}/u', mb_strtoupper($text), $m);
        return array_values(array_unique($m[0]));
    }

    /** @return list<array> found documents: TITLE, URL, PARAM1 */
    public static function find(string $query, int $limit = 50): array
    {
        $words = self::words($query);
        if ($words === []) {
            return [];
        }
        $select = "SELECT c.ID, c.TITLE, c.URL, c.PARAM1 FROM b_search_content c";
        if (self::engine() === 'sphinx') {
            $match = addslashes(implode(' ', array_map(static fn($w) => mb_strtolower($w), $words)));
            $ids = array_column(self::sphinx()?->query('SELECT id FROM ' . self::sphinxIndex() . " WHERE MATCH('$match') LIMIT $limit")->fetch_all(MYSQLI_ASSOC) ?? [], 'id');
            return $ids ? DB::rows("$select WHERE c.ID IN (?)", array_map(intval(...), $ids)) : [];
        }
        if (self::engine() === 'mysql') {
            // InnoDB does not index words under three letters, nor its default stop words.
            $words = array_filter($words, static fn($w) => mb_strlen($w) > 2 && !in_array($w, self::STOP_WORDS, true));
            $match = implode(' ', array_map(static fn($w) => "+$w*", $words));
            self::needFulltext();
            return DB::rows("$select JOIN b_search_content_text t ON t.SEARCH_CONTENT_ID=c.ID WHERE MATCH(t.SEARCHABLE_CONTENT) AGAINST (? IN BOOLEAN MODE) LIMIT $limit", $match);
        }
        return DB::rows("$select JOIN b_search_content_stem s ON s.SEARCH_CONTENT_ID=c.ID JOIN b_search_stem w ON w.ID=s.STEM WHERE w.STEM IN (?) GROUP BY c.ID HAVING COUNT(DISTINCT w.ID)=" . count($words) . " ORDER BY c.ID LIMIT $limit", $words);
    }
}
