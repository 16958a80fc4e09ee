<?php
/** Addresses of files for a REST caller: signed for one method, one file and this very caller. */
final class CRestFile
{
    private const SCOPES = ['download' => 'disk', 'crm.controller.item.getfile' => 'crm'];

    public static function disk(int $object): string
    {
        return self::url('download', ['id' => $object]);
    }

    public static function field(int $type, int $id, string $name, int $file): string
    {
        return self::url('crm.controller.item.getFile', ['entityTypeId' => $type, 'id' => $id, 'fieldName' => $name, 'fileId' => $file]);
    }

    private static function url(string $method, array $query): string
    {
        $server = CRestServer::$current;
        $packed = base64_encode(http_build_query($query + ['_' => bin2hex(random_bytes(8))]));
        $scope = self::SCOPES[strtolower($method)];
        $token = rawurlencode("$scope|$packed|" . self::sign($method, $scope, $packed, $server));
        return self::origin() . ($server->app === null ? "/rest/$server->path/$method/?token=$token" : "/rest/$method.json?auth=" . rawurlencode($server->app['APPLICATION_TOKEN']) . "&token=$token");
    }

    private static function origin(): string
    {
        return (CSite::isHttps() ? 'https' : 'http') . '://' . ($_SERVER['HTTP_HOST'] ?? CSite::host());
    }

    private static function sign(string $method, string $scope, string $packed, CRestServer $server): string
    {
        $caller = $server->app['APPLICATION_TOKEN'] ?? $server->path;
        return hash_hmac('sha256', strtolower($method) . "|$scope|$packed|$caller", COption::GetOptionString('rest', 'service_client_secret'));
    }

    /** Whether a request is one for a file; it is then answered with it, or refused. */
    public static function answer(string $method, array $parameters, CRestServer $server): bool
    {
        $scope = self::SCOPES[strtolower($method)] ?? null;
        if ($scope === null) {
            return false;
        }
        if (!self::isClient()) {
            http_response_code(404);
            header('Content-Type: text/html');
            exit('<html><head><title>404 Not Found</title></head><body><h1>404 Not Found</h1></body></html>');
        }
        [$given, $packed, $signature] = explode('|', (string)($parameters['token'] ?? '')) + ['', '', ''];
        if ($given !== $scope || !hash_equals(self::sign($method, $scope, $packed, $server), $signature)) {
            throw new RestError('access_denied', 'Link check failed', 403);
        }
        self::failure(COption::GetOptionString('encaja', 'downloads'));
        parse_str((string)base64_decode($packed), $query);
        header_remove('Content-Type');
        CFile::send($scope === 'disk' ? (int)(CDisk::object((int)$query['id'])['FILE_ID'] ?? 0) : (int)$query['fileId'], true);
    }

    /** What comes in place of a file where somebody has no right to it, or the portal is not well. */
    private static function failure(string $how): void
    {
        if ($how === 'login') {
            header('Location: /auth/?backurl=' . rawurlencode((string)$_SERVER['REQUEST_URI']), true, 302);
        } elseif ($how === 'denied') {
            echo json_encode(['status' => 'denied', 'message' => '']);
        } elseif ($how === 'page') {
            header('Content-Type: text/html; charset=utf-8');
            echo '<html><body><form id="login-form"></form></body></html>';
        }
        if ($how !== '') {
            exit;
        }
    }

    /** The headers that the product asks of a client that is no browser. */
    private static function isClient(): bool
    {
        $agent = (string)($_SERVER['HTTP_USER_AGENT'] ?? '');
        return preg_match('#^[\w.-]+/\d#', $agent) && !preg_match('#^(?:python|curl|wget|okhttp|go-http)#i', $agent) && ($_SERVER['HTTP_ACCEPT'] ?? '') === '*/*'
            && ($_SERVER['HTTP_ACCEPT_LANGUAGE'] ?? '') !== '' && rtrim((string)($_SERVER['HTTP_REFERER'] ?? ''), '/') === self::origin();
    }
}
