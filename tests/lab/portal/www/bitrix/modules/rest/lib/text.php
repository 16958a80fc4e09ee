<?php
/** Texts of errors in the language of the caller: what stays the same in all of them is the code. */
final class CRestText
{
    private const TEXTS = [
        'Not found' => ['es' => 'No se ha encontrado', 'de' => 'Nicht gefunden', 'ru' => 'Не найдено'],
        'Element not found' => ['es' => 'El elemento no existe', 'de' => 'Das Element wurde nicht gefunden', 'ru' => 'Элемент не найден'],
        'Smart process not found' => ['es' => 'El proceso inteligente no existe', 'de' => 'Der Smart-Prozess wurde nicht gefunden', 'ru' => 'Смарт-процесс не найден'],
        'Could not find entity with id' => ['es' => 'No existe ningún objeto con este identificador', 'de' => 'Kein Objekt mit dieser ID', 'ru' => 'Объект с таким id отсутствует'],
        'Task not found or not accessible' => ['es' => 'La tarea no existe o no está disponible', 'de' => 'Aufgabe nicht vorhanden oder kein Zugriff', 'ru' => 'Задача не найдена или недоступна'],
        'Access denied!' => ['es' => '¡Acceso denegado!', 'de' => 'Zugriff verweigert!', 'ru' => 'Доступ запрещен!'],
        'The value of the field "%s" is not valid' => ['es' => 'El valor del campo "%s" no es válido', 'de' => 'Der Wert des Feldes "%s" ist nicht zulässig', 'ru' => 'Недопустимое значение поля "%s"'],
        'Only the administrator can change the field "%s"' => ['es' => 'Solo el administrador puede cambiar el campo "%s"', 'de' => 'Nur der Administrator kann das Feld "%s" ändern', 'ru' => 'Поле "%s" может изменить только администратор'],
        'The value of the field "%s" cannot be less than that of any other items' => ['es' => 'El valor del campo "%s" no puede ser menor que el de otros elementos', 'de' => 'Der Wert des Feldes "%s" darf nicht unter dem anderer Elemente liegen', 'ru' => 'Значение поля "%s" не может быть меньше, чем у других элементов'],
        'The value of the field "%s" cannot be greater than "%s"' => ['es' => 'El valor del campo "%s" no puede ser mayor que "%s"', 'de' => 'Der Wert des Feldes "%s" darf nicht über "%s" liegen', 'ru' => 'Значение поля "%s" не может быть больше "%s"'],
        'Created on' => ['es' => 'Creado el', 'de' => 'Erstellt am', 'ru' => 'Дата создания'],
        'Modified on' => ['es' => 'Modificado el', 'de' => 'Geändert am', 'ru' => 'Дата изменения'],
        'Moved on' => ['es' => 'Movido el', 'de' => 'Verschoben am', 'ru' => 'Дата смены стадии'],
        'Created by' => ['es' => 'Creado por', 'de' => 'Erstellt von', 'ru' => 'Кем создан'],
        'Modified by' => ['es' => 'Modificado por', 'de' => 'Geändert von', 'ru' => 'Кем изменен'],
        'Moved by' => ['es' => 'Movido por', 'de' => 'Verschoben von', 'ru' => 'Кто сменил стадию'],
        'now' => ['es' => 'ahora', 'de' => 'jetzt', 'ru' => 'сейчас'],
    ];

    /** A text, with others in its places. */
    public static function say(string $text, string ...$parts): string
    {
        $language = self::language();
        $said = self::TEXTS[$text][$language] ?? $text;
        return $parts ? sprintf($said, ...array_map(static fn($part) => self::TEXTS[$part][$language] ?? $part, $parts)) : $said;
    }

    private static function language(): string
    {
        $user = CRestServer::$current?->user ?? 0;
        return (string)(DB::val('SELECT LANGUAGE_ID FROM b_user WHERE ID=?', $user) ?: DB::val('SELECT LANGUAGE_ID FROM b_lang ORDER BY DEF DESC LIMIT 1'));
    }
}
