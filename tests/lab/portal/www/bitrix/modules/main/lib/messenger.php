<?php
namespace Bitrix\Main\Messenger;

/** Messages that modules leave for later; the constants that stop agents and mail do not reach it. */
final class Worker
{
    private const PER_QUEUE = 50;

    /** Takes what is due of each queue. A message whose payload names an address (`url`) is carried there. */
    public static function process(): void
    {
        if (!\DB::rows("SHOW TABLES LIKE 'b\\_main\\_messenger\\_message'")) {
            return;
        }
        foreach (\DB::col("SELECT DISTINCT QUEUE_ID FROM b_main_messenger_message WHERE STATUS='new' AND AVAILABLE_AT <= ?", now()) as $queue) {
            $due = \DB::rows('SELECT ID, PAYLOAD FROM b_main_messenger_message WHERE QUEUE_ID=? AND STATUS=\'new\' AND AVAILABLE_AT <= ? ORDER BY ID LIMIT ' . self::PER_QUEUE, $queue, now());
            foreach ($due as $message) {
                \DB::q("UPDATE b_main_messenger_message SET STATUS='processing', UPDATED_AT=? WHERE ID=? AND STATUS='new'", now(), $message['ID']);
                if (\DB::$link->affected_rows !== 1) {
                    continue;
                }
                $address = json_decode((string)$message['PAYLOAD'], true)['url'] ?? null;
                if (is_string($address)) {
                    \HttpClient::post($address, ['queue' => $queue]);
                }
                \DB::q('DELETE FROM b_main_messenger_message WHERE ID=?', $message['ID']);
            }
        }
    }

    public static function send(string $queue, string $class, array $payload): int
    {
        return \DB::insert('b_main_messenger_message', [
            'QUEUE_ID' => $queue, 'CLASS' => $class, 'PAYLOAD' => json_encode($payload), 'CREATED_AT' => now(), 'UPDATED_AT' => now(), 'TTL' => 5, 'AVAILABLE_AT' => now(), 'STATUS' => 'new']);
    }
}
