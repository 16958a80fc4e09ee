-- Tables and columns that release 26.250 adds: what its classes name. Lengths, defaults and keys beyond the first are not known.
CREATE TABLE IF NOT EXISTS b_idea_email_subscribe (USER_ID int NOT NULL, SUBSCRIBE_TYPE varchar(255) NOT NULL, ENTITY_TYPE varchar(255) NOT NULL, ENTITY_CODE varchar(255) NOT NULL, PRIMARY KEY (USER_ID, ENTITY_TYPE, ENTITY_CODE));
