-- Tables and columns that release 26.250 adds: what its classes name. Lengths, defaults and keys beyond the first are not known.
CREATE TABLE IF NOT EXISTS b_extranet_user (ID int NOT NULL AUTO_INCREMENT, USER_ID int NOT NULL, CHARGEABLE char(1) DEFAULT 'Y', ROLE varchar(255), PRIMARY KEY (ID));
