-- Tables and columns that release 26.250 adds: what its classes name. Lengths, defaults and keys beyond the first are not known.
CREATE TABLE IF NOT EXISTS b_mobileapp_app (CODE varchar(255) NOT NULL, SHORT_NAME varchar(255), NAME varchar(255), DESCRIPTION text, FILES text, LAUNCH_ICONS text, LAUNCH_SCREENS text, FOLDER varchar(255), DATE_CREATE datetime, PRIMARY KEY (CODE));
CREATE TABLE IF NOT EXISTS b_mobileapp_config (APP_CODE varchar(255) NOT NULL, PLATFORM varchar(255) NOT NULL, PARAMS text, DATE_CREATE datetime, PRIMARY KEY (APP_CODE, PLATFORM));
