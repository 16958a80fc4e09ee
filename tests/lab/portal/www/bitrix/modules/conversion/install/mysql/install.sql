-- Tables and columns that release 26.250 adds: what its classes name. Lengths, defaults and keys beyond the first are not known.
CREATE TABLE IF NOT EXISTS b_conv_context (ID int NOT NULL AUTO_INCREMENT, SNAPSHOT varchar(64) NOT NULL, PRIMARY KEY (ID));
CREATE TABLE IF NOT EXISTS b_conv_context_attribute (CONTEXT_ID int NOT NULL, NAME varchar(30) NOT NULL, VALUE varchar(30) NOT NULL, PRIMARY KEY (CONTEXT_ID, NAME, VALUE));
CREATE TABLE IF NOT EXISTS b_conv_context_counter_day (DAY date NOT NULL, CONTEXT_ID int NOT NULL, NAME varchar(30) NOT NULL, VALUE double NOT NULL, PRIMARY KEY (DAY, CONTEXT_ID, NAME));
CREATE TABLE IF NOT EXISTS b_conv_context_entity_item (CONTEXT_ID int NOT NULL, ENTITY varchar(30) NOT NULL, ITEM varchar(30) NOT NULL, PRIMARY KEY (CONTEXT_ID, ENTITY, ITEM));
