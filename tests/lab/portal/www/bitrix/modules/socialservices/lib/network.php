<?php
/**
 * The vendor's network, of which only the cloud is a part: its accounts live beside the portal's database, in
 * `<database>_network`, and so never come along in a backup.
 */
final class CSocServBitrix24Net
{
    public const ACCOUNTS = 'account';

    private static function database(): string
    {
        return '`' . str_replace('`', '', (string)DB::val('SELECT DATABASE()')) . '_network`.' . self::ACCOUNTS;
    }

    public static function createAccounts(): void
    {
        $name = str_replace('`', '', (string)DB::val('SELECT DATABASE()')) . '_network';
        DB::q("CREATE DATABASE IF NOT EXISTS `$name` CHARACTER SET utf8mb4");
        DB::q('CREATE TABLE IF NOT EXISTS ' . self::database() . ' (LOGIN varchar(100) PRIMARY KEY, PASSWORD varchar(255) NOT NULL)');
    }

    /** Whether this is the cloud, where the network is. */
    public static function isHere(): bool
    {
        return (bool)DB::val("SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME=CONCAT(DATABASE(), '_network')");
    }

    /** The portal's user of a network account, or null: wrong word, no such user, or no network here. */
    public static function authorize(string $login, string $password): ?int
    {
        if (!is_cloud()) {
            return null;
        }
        try {
            $hash = DB::val('SELECT PASSWORD FROM ' . self::database() . ' WHERE LOGIN=?', $login);
        } catch (mysqli_sql_exception) {
            return null;
        }
        if ($hash === null || !PasswordHash::equals($hash, $password)) {
            return null;
        }
        $user = DB::val("SELECT u.ID FROM b_socialservices_user s JOIN b_user u ON u.ID=s.USER_ID WHERE s.LOGIN=? AND s.EXTERNAL_AUTH_ID='Bitrix24Net' AND u.EXTERNAL_AUTH_ID='socservices' AND u.ACTIVE='Y'", $login);
        return $user === null ? null : (int)$user;
    }

    /** Registers a site with the network: three options. The real one asks the vendor's service with the licence key. */
    public static function registerSite(string $domain): bool
    {
        if (LICENSE_KEY === 'DEMO') {
            return false;
        }
        COption::SetOptionString('socialservices', 'bitrix24net_domain', $domain);
        COption::SetOptionString('socialservices', 'bitrix24net_id', 'ext.' . substr(md5($domain), 0, 14));
        COption::SetOptionString('socialservices', 'bitrix24net_secret', bin2hex(random_bytes(16)));
        return true;
    }
}
