-- Tables and columns that release 26.250 adds: what its classes name. Lengths, defaults and keys beyond the first are not known.
CREATE TABLE IF NOT EXISTS b_b24connector_button_site (ID int NOT NULL AUTO_INCREMENT, BUTTON_ID int NOT NULL, SITE_ID varchar(255) NOT NULL, PRIMARY KEY (ID));
CREATE TABLE IF NOT EXISTS b_b24connector_buttons (ID int NOT NULL AUTO_INCREMENT, APP_ID int NOT NULL, ADD_DATE datetime, ADD_BY int NOT NULL, NAME varchar(255), SCRIPT text, PRIMARY KEY (ID));
