-- The state of DynamoDB as the first release with durable engines wrote it.
BEGIN TRANSACTION;
CREATE TABLE changes (stream INTEGER NOT NULL, number INTEGER NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (stream, number)
) WITHOUT ROWID;
INSERT INTO "changes" VALUES(1,0,'{"eventID":"5c93f802-26e4-4369-bb91-5b25f99a305d","eventName":"INSERT","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"us-east-1","dynamodb":{"ApproximateCreationDateTime":1795645434,"Keys":{"pk":{"S":"Z\u00fcrich"},"sk":{"N":"-1"}},"SequenceNumber":"000000017956454347750000000001","SizeBytes":0,"StreamViewType":"NEW_AND_OLD_IMAGES","NewImage":{"pk":{"S":"Z\u00fcrich"},"sk":{"N":"-1"},"g":{"S":"u"}}},"eventSourceARN":"arn:aws:dynamodb:us-east-1:000000000000:table/mine/stream/2026-11-25T22:23:54.769"}');
INSERT INTO "changes" VALUES(1,1,'{"eventID":"ab623b6a-c1f2-4d19-a00a-ae91fc450a62","eventName":"INSERT","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"us-east-1","dynamodb":{"ApproximateCreationDateTime":1795645434,"Keys":{"pk":{"S":"Z\u00fcrich"},"sk":{"N":"2"}},"SequenceNumber":"000000017956454347760000000002","SizeBytes":0,"StreamViewType":"NEW_AND_OLD_IMAGES","NewImage":{"pk":{"S":"Z\u00fcrich"},"sk":{"N":"2"},"g":{"S":"u"}}},"eventSourceARN":"arn:aws:dynamodb:us-east-1:000000000000:table/mine/stream/2026-11-25T22:23:54.769"}');
INSERT INTO "changes" VALUES(1,2,'{"eventID":"28917f39-8199-4a1a-8238-2dfcc7cfc6d6","eventName":"INSERT","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"us-east-1","dynamodb":{"ApproximateCreationDateTime":1795645434,"Keys":{"pk":{"S":"Z\u00fcrich"},"sk":{"N":"10"}},"SequenceNumber":"000000017956454347760000000003","SizeBytes":0,"StreamViewType":"NEW_AND_OLD_IMAGES","NewImage":{"pk":{"S":"Z\u00fcrich"},"sk":{"N":"10"},"g":{"S":"u"}}},"eventSourceARN":"arn:aws:dynamodb:us-east-1:000000000000:table/mine/stream/2026-11-25T22:23:54.769"}');
INSERT INTO "changes" VALUES(1,3,'{"eventID":"1284acdc-4a41-4f61-abd0-2e77627f9f4f","eventName":"INSERT","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"us-east-1","dynamodb":{"ApproximateCreationDateTime":1795645434,"Keys":{"pk":{"S":"q"},"sk":{"N":"1"}},"SequenceNumber":"000000017956454347770000000004","SizeBytes":0,"StreamViewType":"NEW_AND_OLD_IMAGES","NewImage":{"pk":{"S":"q"},"sk":{"N":"1"},"expires":{"N":"50"}}},"eventSourceARN":"arn:aws:dynamodb:us-east-1:000000000000:table/mine/stream/2026-11-25T22:23:54.769"}');
CREATE TABLE entries (
    tbl INTEGER NOT NULL, name TEXT NOT NULL, hash BLOB NOT NULL, sort BLOB NOT NULL,
    pk BLOB NOT NULL, sk BLOB NOT NULL,
    PRIMARY KEY (tbl, name, hash, sort, pk, sk)
) WITHOUT ROWID;
INSERT INTO "entries" VALUES(1,'by-g',X'75',X'',X'5AC3BC72696368',X'00FC16CEFF');
INSERT INTO "entries" VALUES(1,'by-g',X'75',X'',X'5AC3BC72696368',X'0203E932');
INSERT INTO "entries" VALUES(1,'by-g',X'75',X'',X'5AC3BC72696368',X'0203EA31');
CREATE TABLE items (
    tbl INTEGER NOT NULL, pk BLOB NOT NULL, sk BLOB NOT NULL, expires REAL, size INTEGER NOT NULL, item TEXT NOT NULL,
    PRIMARY KEY (tbl, pk, sk)
);
INSERT INTO "items" VALUES(1,X'5AC3BC72696368',X'00FC16CEFF',NULL,16,'{"pk":{"S":"Z\u00fcrich"},"sk":{"N":"-1"},"g":{"S":"u"}}');
INSERT INTO "items" VALUES(1,X'5AC3BC72696368',X'0203E932',NULL,15,'{"pk":{"S":"Z\u00fcrich"},"sk":{"N":"2"},"g":{"S":"u"}}');
INSERT INTO "items" VALUES(1,X'5AC3BC72696368',X'0203EA31',NULL,15,'{"pk":{"S":"Z\u00fcrich"},"sk":{"N":"10"},"g":{"S":"u"}}');
INSERT INTO "items" VALUES(1,X'71',X'0203E931',50.0,16,'{"pk":{"S":"q"},"sk":{"N":"1"},"expires":{"N":"50"}}');
CREATE TABLE positions (function TEXT NOT NULL, stream TEXT NOT NULL, position INTEGER NOT NULL,
    PRIMARY KEY (function, stream)
) WITHOUT ROWID;
INSERT INTO "positions" VALUES('function','arn:aws:dynamodb:us-east-1:000000000000:table/mine/stream/2026-11-25T22:23:54.769',3);
CREATE TABLE streams (
    id INTEGER PRIMARY KEY AUTOINCREMENT, arn TEXT NOT NULL UNIQUE, first INTEGER NOT NULL DEFAULT 0
);
INSERT INTO "streams" VALUES(1,'arn:aws:dynamodb:us-east-1:000000000000:table/mine/stream/2026-11-25T22:23:54.769',0);
CREATE TABLE tables (
    id INTEGER PRIMARY KEY AUTOINCREMENT, arn TEXT NOT NULL UNIQUE, keys TEXT NOT NULL,
    definition TEXT NOT NULL DEFAULT '', indexes TEXT NOT NULL DEFAULT '{}', expiry TEXT
);
INSERT INTO "tables" VALUES(1,'arn:aws:dynamodb:us-east-1:000000000000:table/mine','{"pk":"S","sk":"N"}','{"table":{"TableName":"mine","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}],"AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"g","AttributeType":"S"},{"AttributeName":"n","AttributeType":"N"},{"AttributeName":"sk","AttributeType":"N"}],"pk_name":"pk","sk_name":"sk","TableStatus":"ACTIVE","CreationDateTime":1795645434,"TableArn":"arn:aws:dynamodb:us-east-1:000000000000:table/mine","TableId":"d886b100-1533-47a7-af1a-8d39f946dd2f","GlobalSecondaryIndexes":[{"IndexName":"by-g","KeySchema":[{"AttributeName":"g","KeyType":"HASH"}],"Projection":{"ProjectionType":"KEYS_ONLY"},"IndexStatus":"ACTIVE","ProvisionedThroughput":{"ReadCapacityUnits":0,"WriteCapacityUnits":0},"IndexArn":"arn:aws:dynamodb:us-east-1:000000000000:table/mine/index/by-g","IndexSizeBytes":0,"ItemCount":0},{"IndexName":"by-gn","KeySchema":[{"AttributeName":"g","KeyType":"HASH"},{"AttributeName":"n","KeyType":"RANGE"}],"Projection":{"ProjectionType":"INCLUDE","NonKeyAttributes":["a"]},"IndexStatus":"ACTIVE","ProvisionedThroughput":{"ReadCapacityUnits":0,"WriteCapacityUnits":0},"IndexArn":"arn:aws:dynamodb:us-east-1:000000000000:table/mine/index/by-gn","IndexSizeBytes":0,"ItemCount":0},{"IndexName":"by-ng","KeySchema":[{"AttributeName":"n","KeyType":"HASH"},{"AttributeName":"g","KeyType":"RANGE"}],"Projection":{"ProjectionType":"ALL"},"IndexStatus":"ACTIVE","ProvisionedThroughput":{"ReadCapacityUnits":0,"WriteCapacityUnits":0},"IndexArn":"arn:aws:dynamodb:us-east-1:000000000000:table/mine/index/by-ng","IndexSizeBytes":0,"ItemCount":0}],"LocalSecondaryIndexes":[{"IndexName":"local","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"n","KeyType":"RANGE"}],"Projection":{"ProjectionType":"ALL"},"IndexArn":"arn:aws:dynamodb:us-east-1:000000000000:table/mine/index/local","IndexSizeBytes":0,"ItemCount":0}],"ProvisionedThroughput":{"ReadCapacityUnits":0,"WriteCapacityUnits":0},"BillingModeSummary":{"BillingMode":"PAY_PER_REQUEST"},"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"},"SSEDescription":null,"DeletionProtectionEnabled":false,"LatestStreamLabel":"2026-11-25T22:23:54.769","LatestStreamArn":"arn:aws:dynamodb:us-east-1:000000000000:table/mine/stream/2026-11-25T22:23:54.769"},"settings":{"_ttl_settings":{"TimeToLiveStatus":"ENABLED","AttributeName":"expires"},"_tags":[{"Key":"owner","Value":"me"}]}}','{"by-g":[[["g","S"]],[]],"by-gn":[[["g","S"]],[["n","N"]]],"by-ng":[[["n","N"]],[["g","S"]]],"local":[[["pk","S"]],[["n","N"]]]}','expires');
CREATE INDEX items_by_expiry ON items (tbl, expires) WHERE expires IS NOT NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('tables',1);
INSERT INTO "sqlite_sequence" VALUES('streams',1);
COMMIT;
PRAGMA user_version = 1;
