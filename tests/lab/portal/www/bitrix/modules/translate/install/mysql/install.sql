-- Tables and columns that release 26.250 adds: what its classes name. Lengths, defaults and keys beyond the first are not known.
CREATE TABLE IF NOT EXISTS b_translate_file (ID int NOT NULL AUTO_INCREMENT, PATH_ID int, LANG_ID varchar(255), FULL_PATH varchar(255), PHRASE_COUNT int, INDEXED char(1), INDEXED_TIME datetime, PRIMARY KEY (ID));
CREATE TABLE IF NOT EXISTS b_translate_path (ID int NOT NULL AUTO_INCREMENT, PARENT_ID int, PATH varchar(255), NAME varchar(255), MODULE_ID varchar(255), ASSIGNMENT varchar(255), DEPTH_LEVEL int, SORT int, IS_LANG char(1), IS_DIR char(1), OBLIGATORY_LANGS varchar(255), INDEXED char(1), INDEXED_TIME datetime, PRIMARY KEY (ID));
CREATE TABLE IF NOT EXISTS b_translate_path_lang (ID int NOT NULL AUTO_INCREMENT, PATH varchar(255), PRIMARY KEY (ID));
CREATE TABLE IF NOT EXISTS b_translate_path_tree (ID int NOT NULL AUTO_INCREMENT, PARENT_ID int, PATH_ID int, DEPTH_LEVEL int, PRIMARY KEY (ID));
CREATE TABLE IF NOT EXISTS b_translate_phrase (ID int NOT NULL AUTO_INCREMENT, FILE_ID int, PATH_ID int, LANG_ID varchar(255), CODE varchar(255), PRIMARY KEY (ID));
