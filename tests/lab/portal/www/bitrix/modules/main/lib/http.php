<?php
/** Outgoing requests, short and quiet: the answer's body, or null. */
final class HttpClient
{
    public static function post(string $url, string|array $body, array $headers = [], float $timeout = 2.0): ?string
    {
        return self::send($url, ['method' => 'POST', 'content' => is_array($body) ? http_build_query($body) : $body, 'header' => $headers], $timeout);
    }

    public static function get(string $url, float $timeout = 5.0): ?string
    {
        return self::send($url, ['method' => 'GET', 'header' => []], $timeout);
    }

    private static function send(string $url, array $http, float $timeout): ?string
    {
        $curl = curl_init($url);
        curl_setopt_array($curl, [
            CURLOPT_RETURNTRANSFER => true, CURLOPT_CUSTOMREQUEST => $http['method'], CURLOPT_HTTPHEADER => $http['header'],
            CURLOPT_CONNECTTIMEOUT_MS => 1000, CURLOPT_TIMEOUT_MS => (int)($timeout * 1000), CURLOPT_NOSIGNAL => true, CURLOPT_FAILONERROR => true,
        ]);
        if (isset($http['content'])) {
            curl_setopt($curl, CURLOPT_POSTFIELDS, $http['content']);
        }
        $answer = curl_exec($curl);
        return $answer === false ? null : (string)$answer;
    }
}
