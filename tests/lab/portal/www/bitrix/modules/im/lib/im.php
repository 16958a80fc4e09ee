<?php
/** Files in the messenger: only with push & pull enabled, and a disk that was converted. */
final class CIMDisk
{
    public static function Enabled(): bool
    {
        return \Bitrix\Main\Loader::includeModule('pull') && CPullOptions::GetNginxStatus()
            && \Bitrix\Main\Loader::includeModule('disk') && COption::GetOptionString('disk', 'successfully_converted') === 'Y';
    }

    /** The storage that option im.disk_storage_id names; without its row files cannot be kept. */
    public static function storage(): array
    {
        $storage = DB::row('SELECT * FROM b_disk_storage WHERE ID=?', (int)COption::GetOptionString('im', 'disk_storage_id', '0'));
        return $storage ?? throw new RuntimeException('Option im.disk_storage_id names no storage of the disk.');
    }

    /** Puts a file into a chat's folder. Returns the object of the disk. */
    public static function upload(int $chat, string $name, string $content, int $user): int
    {
        $storage = self::storage();
        $folder = (int)DB::val('SELECT DISK_FOLDER_ID FROM b_im_chat WHERE ID=?', $chat);
        if ($folder === 0 || CDisk::object($folder) === null) {
            $folder = CDisk::addFolder((int)$storage['ID'], (int)$storage['ROOT_OBJECT_ID'], "Chat $chat", $user);
            DB::q('UPDATE b_im_chat SET DISK_FOLDER_ID=? WHERE ID=?', $folder, $chat);
        }
        return CDisk::addFile($storage, $name, $content, $user, 'im', $folder);
    }
}

final class CIMMessage
{
    /** Adds a message to a chat, tells those in it, and answers with it as pages see it. */
    public static function send(int $chat, int $author, string $text, array $files = []): array
    {
        $id = DB::insert('b_im_message', ['CHAT_ID' => $chat, 'AUTHOR_ID' => $author, 'MESSAGE' => $text, 'DATE_CREATE' => now()]);
        foreach ($files as $file) {
            DB::insert('b_im_message_param', ['MESSAGE_ID' => $id, 'PARAM_NAME' => 'FILE_ID', 'PARAM_VALUE' => $file]);
        }
        DB::q('UPDATE b_im_chat SET MESSAGE_COUNT=MESSAGE_COUNT+1, LAST_MESSAGE_ID=? WHERE ID=?', $id, $chat);
        DB::q('UPDATE b_im_relation SET COUNTER=COUNTER+1 WHERE CHAT_ID=? AND USER_ID<>?', $chat, $author);
        DB::insert('b_im_message_index', ['MESSAGE_ID' => $id, 'SEARCH_CONTENT' => $text]);
        $users = array_map(intval(...), DB::col('SELECT USER_ID FROM b_im_relation WHERE CHAT_ID=?', $chat));
        $message = self::messages($chat, $id)[0];
        CPullStack::AddByUsers($users, 'im', 'message', ['chatId' => $chat, 'message' => $message]);
        foreach (array_diff($users, [$author]) as $user) {
            CPushManager::Add($user, $text);
        }
        self::bots($chat, $users, $message);
        return $message;
    }

    /** Bots of applications are told at their address. */
    private static function bots(int $chat, array $users, array $message): void
    {
        $bots = $users ? DB::rows("SELECT b.*, e.EVENT_HANDLER FROM b_im_bot b JOIN b_rest_app a ON a.CLIENT_ID=b.APP_ID AND a.ACTIVE='Y' JOIN b_rest_event e ON e.APP_ID=a.ID AND e.EVENT_NAME='ONIMBOTMESSAGEADD' WHERE b.BOT_ID IN (?)", $users) : [];
        foreach ($bots as $bot) {
            CRestEvent::later($bot['EVENT_HANDLER'], ['event' => 'ONIMBOTMESSAGEADD', 'data' => ['PARAMS' => ['CHAT_ID' => $chat, 'MESSAGE' => $message['text']]]]);
        }
    }

    /** @return list<array> the last messages of a chat, oldest first, with their files */
    public static function messages(int $chat, int $only = 0, int $limit = 100): array
    {
        $rows = DB::rows('SELECT m.*, u.NAME, u.LAST_NAME, u.LOGIN FROM b_im_message m LEFT JOIN b_user u ON u.ID=m.AUTHOR_ID WHERE m.CHAT_ID=? ' . ($only ? "AND m.ID=$only " : '') . "ORDER BY m.ID DESC LIMIT $limit", $chat);
        $files = [];
        $ids = array_map(intval(...), array_column($rows, 'ID'));
        $found = $ids ? DB::rows("SELECT p.MESSAGE_ID, o.ID, o.NAME, o.SIZE FROM b_im_message_param p JOIN b_disk_object o ON o.ID=p.PARAM_VALUE WHERE p.PARAM_NAME='FILE_ID' AND p.MESSAGE_ID IN (?)", $ids) : [];
        foreach ($found as $file) {
            $files[$file['MESSAGE_ID']][] = ['id' => (int)$file['ID'], 'name' => $file['NAME'], 'size' => (int)$file['SIZE'], 'url' => CDisk::url((int)$file['ID'])];
        }
        return array_map(static fn($r) => [
            'id' => (int)$r['ID'], 'authorId' => (int)$r['AUTHOR_ID'], 'author' => CUser::name($r), 'text' => (string)$r['MESSAGE'], 'date' => date('c', strtotime($r['DATE_CREATE'])),
            'files' => $files[$r['ID']] ?? []], array_reverse($rows));
    }

    public static function isMember(int $chat, int $user): bool
    {
        return (bool)DB::val('SELECT 1 FROM b_im_relation WHERE CHAT_ID=? AND USER_ID=?', $chat, $user);
    }

    /** The dialogue of two people, made when there is none. */
    public static function dialog(int $one, int $other): int
    {
        $chat = (int)DB::val("SELECT a.CHAT_ID FROM b_im_relation a JOIN b_im_relation b ON b.CHAT_ID=a.CHAT_ID AND b.USER_ID=? WHERE a.USER_ID=? AND a.MESSAGE_TYPE='P' LIMIT 1", $other, $one);
        return $chat ?: self::chat('P', null, $one, [$one, $other]);
    }

    public static function chat(string $type, ?string $title, int $author, array $users): int
    {
        $chat = DB::insert('b_im_chat', ['TITLE' => $title, 'TYPE' => $type, 'AUTHOR_ID' => $author, 'DATE_CREATE' => now(), 'USER_COUNT' => count($users)]);
        foreach (array_unique($users) as $user) {
            DB::insert('b_im_relation', ['CHAT_ID' => $chat, 'MESSAGE_TYPE' => $type, 'USER_ID' => $user]);
        }
        return $chat;
    }

    /** [URL=/path/]text[/URL] as a link. Its domain comes from the settings of the day, not from the request. */
    public static function html(string $text): string
    {
        return preg_replace_callback('#\[URL=([^\]]+)\](.*?)\[/URL\]#', static function (array $m): string {
            $url = str_starts_with($m[1], '/') ? h(CSite::absolute(html_entity_decode($m[1]))) : $m[1];
            return '<a class="notification-link" href="' . $url . '">' . $m[2] . '</a>';
        }, nl2br(h($text)));
    }
}

/** Notifications: messages of a user's chat of type S, and a mail. */
final class CIMNotify
{
    public static function Add(int $user, int $author, string $module, string $text, bool $mail = true): int
    {
        $chat = (int)DB::val("SELECT CHAT_ID FROM b_im_relation WHERE USER_ID=? AND MESSAGE_TYPE='S'", $user) ?: CIMMessage::chat('S', null, $user, [$user]);
        $id = DB::insert('b_im_message', ['CHAT_ID' => $chat, 'AUTHOR_ID' => $author, 'MESSAGE' => $text, 'DATE_CREATE' => now(), 'NOTIFY_TYPE' => 2, 'NOTIFY_MODULE' => $module]);
        CPullStack::AddByUsers([$user], 'im', 'notify', ['id' => $id, 'html' => CIMMessage::html($text)]);
        CPushManager::Add($user, $text);
        $address = $mail ? DB::val("SELECT EMAIL FROM b_user WHERE ID=? AND ACTIVE='Y'", $user) : null;
        if ($address) {
            $plain = preg_replace_callback('#\[URL=([^\]]+)\](.*?)\[/URL\]#', static fn($m) => $m[2] . ' ' . CSite::absolute($m[1]), $text);
            CEvent::Send('IM_NEW_NOTIFY', 's1', ['EMAIL_TO' => $address, 'TITLE' => mb_substr(strip_tags($plain), 0, 80), 'MESSAGE' => $plain]);
        }
        return $id;
    }

    public static function list(int $user, int $limit = 20): array
    {
        return DB::rows("SELECT m.* FROM b_im_message m JOIN b_im_relation r ON r.CHAT_ID=m.CHAT_ID AND r.USER_ID=? AND r.MESSAGE_TYPE='S' ORDER BY m.ID DESC LIMIT $limit", $user);
    }
}
