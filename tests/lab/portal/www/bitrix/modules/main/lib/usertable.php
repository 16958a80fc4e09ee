<?php
namespace Bitrix\Main;

/** Accounts that are no people are told by their mark. */
final class UserTable
{
    /** @return list<string> values of b_user.EXTERNAL_AUTH_ID that no person has */
    public static function getExternalUserTypes(): array
    {
        return ['bot', 'email', '__controller', 'replica', 'imconnector', 'sale', 'saleanonymous', 'shop', 'call', 'document_editor', 'calendar_sharing', 'im_guest', 'rest_system'];
    }
}
