-- Tables of release 23.300.
CREATE TABLE IF NOT EXISTS b_bitrixcloud_option (ID int(11) NOT NULL AUTO_INCREMENT, NAME varchar(50) NOT NULL, SORT int(11) NOT NULL, PARAM_KEY varchar(50), PARAM_VALUE varchar(200), PRIMARY KEY (ID), KEY ix_b_bitrixcloud_option_1 (NAME));
