-- The state of CloudWatch Logs as the first release with durable engines wrote it.
BEGIN TRANSACTION;
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, timestamp INTEGER NOT NULL,
    ingested INTEGER NOT NULL, message TEXT NOT NULL
);
INSERT INTO "events" VALUES(1,1,1,1795645435353,'first');
INSERT INTO "events" VALUES(2,1,2,1795645435353,'Zürich');
CREATE TABLE groups (id INTEGER PRIMARY KEY AUTOINCREMENT, arn TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
    definition TEXT NOT NULL);
INSERT INTO "groups" VALUES(1,'arn:aws:logs:us-east-1:000000000000:log-group:mine:*','mine','{"arn": "arn:aws:logs:us-east-1:000000000000:log-group:mine:*", "creationTime": 1795645435352, "retentionInDays": 7, "logGroupClass": "STANDARD", "kmsKeyId": null, "tags": {"owner": "me"}, "subscriptionFilters": {}}');
CREATE TABLE streams (
    id INTEGER PRIMARY KEY, grp INTEGER NOT NULL, name TEXT NOT NULL, token TEXT NOT NULL, created INTEGER NOT NULL,
    first INTEGER, last INTEGER, ingested INTEGER, length INTEGER NOT NULL DEFAULT 0, UNIQUE (grp, name)
);
INSERT INTO "streams" VALUES(1,1,'s','2',1795645435353,1,2,1795645435353,11);
CREATE INDEX streams_by_last_event ON streams (grp, last);
CREATE INDEX events_in_stream ON events (stream, timestamp, id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('groups',1);
INSERT INTO "sqlite_sequence" VALUES('events',2);
COMMIT;
PRAGMA user_version = 1;
