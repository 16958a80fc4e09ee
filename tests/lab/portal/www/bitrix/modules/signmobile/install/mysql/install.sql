-- Tables and columns that release 26.250 adds: what its classes name. Lengths, defaults and keys beyond the first are not known.
CREATE TABLE IF NOT EXISTS b_signmobile_notification_queue (ID int NOT NULL AUTO_INCREMENT, USER_ID int, SIGN_MEMBER_ID int NOT NULL, TYPE int, DATE_CREATE datetime, PRIMARY KEY (ID));
CREATE TABLE IF NOT EXISTS b_signmobile_notifications (ID int NOT NULL AUTO_INCREMENT, USER_ID int, SIGN_MEMBER_ID int NOT NULL, TYPE int, DATE_UPDATE datetime, PRIMARY KEY (ID));
