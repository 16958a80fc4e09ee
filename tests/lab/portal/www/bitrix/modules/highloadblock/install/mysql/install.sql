-- Tables and columns that release 26.250 adds: what its classes name. Lengths, defaults and keys beyond the first are not known.
CREATE TABLE IF NOT EXISTS b_hlblock_entity (ID int NOT NULL AUTO_INCREMENT, NAME varchar(255) NOT NULL, TABLE_NAME varchar(255) NOT NULL, FIELDS_COUNT int, PRIMARY KEY (ID));
CREATE TABLE IF NOT EXISTS b_hlblock_entity_lang (ID int NOT NULL, LID varchar(255) NOT NULL, NAME varchar(255) NOT NULL, PRIMARY KEY (ID, LID));
CREATE TABLE IF NOT EXISTS b_hlblock_entity_rights (ID int NOT NULL AUTO_INCREMENT, HL_ID int NOT NULL, TASK_ID int NOT NULL, ACCESS_CODE varchar(255) NOT NULL, PRIMARY KEY (ID));
