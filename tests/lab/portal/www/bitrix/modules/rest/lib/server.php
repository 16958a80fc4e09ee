<?php
/** An error as REST answers it. */
final class RestError extends RuntimeException
{
    public function __construct(public readonly string $name, string $text, public readonly int $status = 400, public readonly array $more = [])
    {
        parent::__construct($text);
    }
}

/** One REST request: who calls, what, within which limits. */
final class CRestServer
{
    public static ?self $current = null;
    public int $user = 0;
    /** Of a webhook: what follows /rest/ in its address. */
    public string $path = '';
    public ?array $app = null;
    /** @var list<string> */
    private array $scope = [];
    private string $caller = '';
    private static ?array $methods = null;

    /** Method (lower case) => [callable, scope]. */
    public static function methods(): array
    {
        return self::$methods ??= array_change_key_case(CRestCrm::methods() + CRestRequisite::methods() + CRestTimeline::methods() + CRestTask::methods() + CRestOther::methods());
    }

    public static function handle(string $path): void
    {
        $start = microtime(true);
        header('Content-Type: application/json; charset=utf-8');
        $server = self::$current = new self();
        try {
            if (!CRestLimits::take(CPortalSession::address())) {
                throw new RestError('QUERY_LIMIT_EXCEEDED', 'Too many requests', 503);
            }
            if (!preg_match('#^/rest/(?:(\d+)/([\w-]+)/)?([\w.]+?)(?:\.json|\.xml)?/?$#', $path, $m)) {
                throw new RestError('ERROR_METHOD_NOT_FOUND', 'Method not found!', 404);
            }
            $parameters = self::parameters();
            $server->authorise((int)$m[1], $m[2], $parameters);
            $method = strtolower($m[3]);
            CRestFile::answer($method, $parameters, $server);
            $answer = $method === 'batch' ? $server->batch($parameters, $start) : $server->call($method, $parameters, $start);
        } catch (RestError $e) {
            http_response_code($e->status);
            $answer = ['error' => $e->name, 'error_description' => CRestText::say($e->getMessage())] + $e->more;
        } catch (mysqli_sql_exception $e) {
            http_response_code(500);
            error_log("rest $path: {$e->getMessage()}");
            $answer = ['error' => 'INTERNAL_SERVER_ERROR', 'error_description' => 'Internal server error'];
        }
        echo json_encode($answer, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE);
    }

    private static function parameters(): array
    {
        $body = [];
        if (str_contains((string)($_SERVER['CONTENT_TYPE'] ?? ''), 'json')) {
            $body = json_decode((string)file_get_contents('php://input'), true) ?: [];
        }
        return array_replace($_GET, $_POST, is_array($body) ? $body : []);
    }

    /** A webhook by its user and password, or an application by its token. */
    private function authorise(int $user, string $password, array $parameters): void
    {
        $token = (string)($parameters['auth'] ?? $parameters['access_token'] ?? '');
        if ($token === '' && preg_match('/^Bearer\s+(\S+)/', (string)($_SERVER['HTTP_AUTHORIZATION'] ?? ''), $m)) {
            $token = $m[1];
        }
        // Whatever looks like an application's token is taken for one, before the webhook is looked at.
        if ($user > 0 && $token === '') {
            $hook = DB::row("SELECT * FROM b_rest_ap WHERE USER_ID=? AND PASSWORD=? AND ACTIVE='Y'", $user, $password);
            if ($hook === null || !DB::val("SELECT 1 FROM b_user WHERE ID=? AND ACTIVE='Y'", $user)) {
                throw new RestError('INVALID_CREDENTIALS', 'Invalid request credentials', 401);
            }
            self::needSubscription();
            $this->user = $user;
            $this->path = "$user/$password";
            $this->caller = 'ap' . $hook['ID'];
            $this->scope = DB::col('SELECT PERM FROM b_rest_ap_permission WHERE PASSWORD_ID=?', $hook['ID']);
            return;
        }
        if ($token === '') {
            throw new RestError('NO_AUTH_FOUND', 'Wrong authorization data', 401);
        }
        $app = DB::row("SELECT * FROM b_rest_app WHERE APPLICATION_TOKEN=? AND ACTIVE='Y'", $token);
        if ($app === null) {
            throw new RestError('expired_token', 'The access token provided has expired.', 401);
        }
        self::needSubscription($app);
        if (!\Bitrix\Rest\OAuthService::knows($app)) {
            throw new RestError('WRONG_CLIENT', 'Wrong client: the application is not installed on this portal.', 401);
        }
        $this->app = $app;
        $this->user = 1;
        $this->caller = 'app' . $app['ID'];
        $this->scope = array_map(trim(...), explode(',', $app['SCOPE']));
    }

    /**
     * In the cloud itself the tariff says yes. Elsewhere its module row alone closes the gate for everybody, and an option for
     * applications; what was paid for passes, and free applications.
     */
    private static function needSubscription(?array $app = null): void
    {
        $gated = (is_cloud() && !CSocServBitrix24Net::isHere()) || ($app !== null && COption::GetOptionString('rest', 'access_active', 'N') === 'Y');
        if ($gated && COption::GetOptionString('main', '~mp24_paid', 'N') !== 'Y' && !DB::val('SELECT 1 FROM b_rest_free_app WHERE APP_CODE=?', $app['CODE'] ?? '')) {
            throw new RestError('ACCESS_DENIED', 'REST is available only by subscription.', 401);
        }
    }

    private function call(string $method, array $parameters, float $start): array
    {
        $found = self::methods()[$method] ?? null;
        if ($found === null) {
            throw new RestError('ERROR_METHOD_NOT_FOUND', 'Method not found!', 404);
        }
        [$callable, $scope] = $found;
        if ($scope !== '' && !in_array($scope, $this->scope, true)) {
            throw new RestError('insufficient_scope', 'The request requires higher privileges than provided by the access token', 403);
        }
        $limit = CRestLimits::limit();
        if ($limit > 0) {
            $before = CRestLimits::operating($method, $this->caller);
            if ($before['operating'] > $limit) {
                throw new RestError('OPERATION_TIME_LIMIT', 'Method is blocked due to operation time limit.', 429, ['time' => $before]);
            }
        }
        unset($parameters['auth']);
        $began = microtime(true);
        $answer = $callable($parameters, $this);
        $processing = microtime(true) - $began;
        $answer = $answer instanceof RestPage ? $answer->answer() : ['result' => $answer];
        $answer['time'] = $this->time($start, $processing) + CRestLimits::operating($method, $this->caller, $processing);
        return $answer;
    }

    private function time(float $start, float $processing): array
    {
        $finish = microtime(true);
        return [
            'start' => $start, 'finish' => $finish, 'duration' => $finish - $start, 'processing' => $processing,
            'date_start' => date('c', (int)$start), 'date_finish' => date('c', (int)$finish)];
    }

    private function batch(array $parameters, float $start): array
    {
        $commands = (array)($parameters['cmd'] ?? []);
        $halt = filter_var($parameters['halt'] ?? false, FILTER_VALIDATE_BOOLEAN);
        $out = ['result' => [], 'result_error' => [], 'result_total' => [], 'result_next' => [], 'result_time' => []];
        $number = 0;
        foreach ($commands as $key => $command) {
            try {
                if (++$number > 50) {
                    throw new RestError('ERROR_BATCH_LENGTH_EXCEEDED', 'Max batch length exceeded');
                }
                [$method, $arguments] = self::command($command, $out['result']);
                if (in_array($method, ['batch', 'download', 'crm.controller.item.getfile'], true)) {
                    throw new RestError('ERROR_BATCH_METHOD_NOT_ALLOWED', 'Method is not allowed for batch usage');
                }
                $answer = $this->call($method, $arguments, microtime(true));
                $out['result'][$key] = $answer['result'];
                foreach (['total', 'next', 'time'] as $part) {
                    if (isset($answer[$part])) {
                        $out["result_$part"][$key] = $answer[$part];
                    }
                }
            } catch (RestError $e) {
                $out['result_error'][$key] = ['error' => $e->name, 'error_description' => CRestText::say($e->getMessage())];
                if ($halt) {
                    break;
                }
            }
        }
        return ['result' => $out, 'time' => $this->time($start, microtime(true) - $start) + ['operating' => 0.0, 'operating_reset_at' => time() + 600]];
    }

    private static function command(mixed $command, array $results): array
    {
        if (is_array($command)) {
            $method = (string)($command['method'] ?? $command[0] ?? '');
            $arguments = (array)($command['params'] ?? $command[1] ?? []);
        } else {
            [$method, $query] = array_pad(explode('?', (string)$command, 2), 2, '');
            parse_str($query, $arguments);
        }
        array_walk_recursive($arguments, static function (&$value) use ($results): void {
            if (is_string($value) && str_contains($value, '$result[')) {
                $value = self::substitute($value, $results);
            }
        });
        return [strtolower(preg_replace('/\.(json|xml)$/', '', $method)), $arguments];
    }

    private static function substitute(string $text, array $results): mixed
    {
        $whole = null;
        $replaced = preg_replace_callback('/\$result((?:\[[^\]]*\])+)/', static function (array $m) use ($results, $text, &$whole): string {
            $value = $results;
            preg_match_all('/\[([^\]]*)\]/', $m[1], $keys);
            foreach ($keys[1] as $key) {
                $value = is_array($value) ? ($value[$key] ?? null) : null;
            }
            if (is_array($value) && $m[0] === $text) {
                $whole = $value;
            }
            return is_scalar($value) ? (string)$value : '';
        }, $text);
        return $whole ?? $replaced;
    }

    /** An administrator's right, where a method demands it. */
    public function needAdmin(): void
    {
        if (!CUser::isAdministrator($this->user)) {
            throw new RestError('ACCESS_DENIED', 'Access denied!', 403);
        }
    }

    /** @return list<string> what the caller may use */
    public function scopes(): array
    {
        return $this->scope;
    }

    public function needApp(): array
    {
        return $this->app ?? throw new RestError('WRONG_AUTH_TYPE', 'Current authorization type is denied for this method', 403);
    }
}

/** A page of a list: 50 rows; start=-1 asks for no count. */
final class RestPage
{
    public const SIZE = 50;

    public function __construct(private readonly array $rows, private readonly ?int $total, private readonly int $start, private readonly string $key = '', private readonly int $size = self::SIZE)
    {
    }

    public static function start(array $parameters): int
    {
        return (int)($parameters['start'] ?? 0);
    }

    /** What a list is ordered by. Where nothing is said, pages do not follow upon each other. */
    public static function order(array $parameters, string $key = 'ID'): array
    {
        return (array)($parameters['order'] ?? $parameters['ORDER'] ?? []) ?: [$key => self::start($parameters) % (2 * self::SIZE) ? 'ASC' : 'DESC'];
    }

    public function answer(): array
    {
        $answer = ['result' => $this->key === '' ? $this->rows : [$this->key => $this->rows]];
        if ($this->total !== null) {
            if ($this->start + $this->size < $this->total) {
                $answer['next'] = $this->start + $this->size;
            }
            $answer['total'] = $this->total;
        }
        return $answer;
    }
}
