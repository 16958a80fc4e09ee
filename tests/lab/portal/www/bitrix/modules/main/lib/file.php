<?php
/** Files: rows of b_file and their bodies under the upload directory. */
final class CFile
{
    public static function path(array $file): string
    {
        return '/' . COption::GetOptionString('main', 'upload_dir', 'upload') . '/' . $file['SUBDIR'] . '/' . $file['FILE_NAME'];
    }

    public static function save(string $content, string $name, string $module, string $type = ''): int
    {
        $hash = md5($name . microtime() . random_int(0, PHP_INT_MAX));
        $extension = strtolower(pathinfo($name, PATHINFO_EXTENSION));
        $file = ['SUBDIR' => $module . '/' . substr($hash, 0, 3), 'FILE_NAME' => $hash . ($extension === '' ? '' : ".$extension")];
        $path = $_SERVER['DOCUMENT_ROOT'] . self::path($file);
        if (!is_dir(dirname($path)) && !@mkdir(dirname($path), 0775, true) && !is_dir(dirname($path))) {
            throw new RuntimeException('Cannot write to ' . dirname($path));
        }
        if (@file_put_contents($path, $content) === false) {
            throw new RuntimeException("Cannot write to $path");
        }
        return DB::insert('b_file', $file + [
            'MODULE_ID' => $module, 'FILE_SIZE' => strlen($content), 'CONTENT_TYPE' => $type ?: self::type($extension), 'ORIGINAL_NAME' => $name, 'EXTERNAL_ID' => $hash]);
    }

    private static function type(string $extension): string
    {
        return ['png' => 'image/png', 'jpg' => 'image/jpeg', 'gif' => 'image/gif', 'pdf' => 'application/pdf', 'txt' => 'text/plain', 'csv' => 'text/csv',
            'wav' => 'audio/wav', 'mp3' => 'audio/mpeg'][$extension] ?? 'application/octet-stream';
    }

    /** Answers with a file, through the web server where main.bx_fast_download says so. */
    public static function send(int $id, bool $attachment = false): never
    {
        $file = DB::row('SELECT * FROM b_file WHERE ID=?', $id);
        if ($file === null) {
            self::missing();
        }
        header('Content-Type: ' . $file['CONTENT_TYPE']);
        header('Content-Disposition: ' . ($attachment ? 'attachment' : 'inline') . "; filename*=utf-8''" . rawurlencode((string)$file['ORIGINAL_NAME']));
        header('X-Content-Type-Options: nosniff');
        $path = self::path($file);
        if ($file['HANDLER_ID'] !== null) {
            // The body is in the vendor's bucket, which only the cloud can read.
            self::body(COption::GetOptionString('encaja', 'bucket') . '/' . $file['SUBDIR'] . '/' . $file['FILE_NAME']);
        }
        if (COption::GetOptionString('main', 'bx_fast_download') === 'Y') {
            header('X-Accel-Redirect: ' . implode('/', array_map(rawurlencode(...), explode('/', $path))));
            exit;
        }
        self::body($_SERVER['DOCUMENT_ROOT'] . $path);
    }

    private static function body(string $path): never
    {
        if (!is_file($path)) {
            self::missing();
        }
        header('Content-Length: ' . filesize($path));
        readfile($path);
        exit;
    }

    private static function missing(): never
    {
        http_response_code(404);
        exit('File not found');
    }
}
