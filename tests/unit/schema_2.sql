BEGIN TRANSACTION;
CREATE TABLE comparisons (
	id INTEGER NOT NULL,
	created DATETIME NOT NULL,
	settings JSON NOT NULL,
	PRIMARY KEY (id)
);
INSERT INTO "comparisons" VALUES(1,'2026-11-01 13:00:00.000000','{"kind": "steer", "radii": [8.5]}');
INSERT INTO "comparisons" VALUES(2,'2026-11-01 14:00:00.000000','{"kind": "map"}');
INSERT INTO "comparisons" VALUES(3,'2026-11-01 15:00:00.000000','{}');
CREATE TABLE completions (
	id INTEGER NOT NULL,
	comparison_id INTEGER NOT NULL,
	position INTEGER NOT NULL,
	"key" VARCHAR(64) NOT NULL,
	kind VARCHAR(8) NOT NULL,
	bank VARCHAR(200),
	bank_hash VARCHAR(64),
	vector INTEGER,
	radius DOUBLE NOT NULL,
	source INTEGER,
	prompt JSON NOT NULL,
	prompt_index INTEGER NOT NULL,
	text TEXT NOT NULL,
	tokens INTEGER NOT NULL,
	finished BOOLEAN NOT NULL,
	model TEXT NOT NULL,
	model_hash VARCHAR(64) NOT NULL,
	dtype VARCHAR(20),
	max_new_tokens INTEGER NOT NULL,
	temperature DOUBLE NOT NULL,
	top_p DOUBLE NOT NULL,
	seed INTEGER NOT NULL,
	created DATETIME NOT NULL,
	scores JSON,
	PRIMARY KEY (id),
	FOREIGN KEY(comparison_id) REFERENCES comparisons (id) ON DELETE CASCADE
);
INSERT INTO "completions" VALUES(1,1,0,'08af8a0537f35d55b954eca0ed0df6f5616f54264ef29be5dba872a6954e8955','baseline',NULL,NULL,NULL,0.0,NULL,'{"user": "How?", "system": "Be kind.", "template": true}',0,'Like this: 🙂
',5,1,'tiny','abababababababababababababababababababababababababababababababab','float32',40,0.7,0.9,1099511627776,'2026-11-01 00:00:00.000000',NULL);
INSERT INTO "completions" VALUES(2,1,1,'fdeefebb6f442acb81b746e10da0d5313fef8b6aac5971e45e84cc0af2f9c838','random',NULL,NULL,NULL,-8.5,7,'{"user": "How?", "system": "Be kind.", "template": true}',0,'Like this: 🙂
',5,1,'tiny','abababababababababababababababababababababababababababababababab','float32',40,0.7,0.9,1099511627776,'2026-11-01 00:00:00.000000','{"version": 1, "logprob": -1.25, "loss": 0.1, "kl_prompt": 2.0, "kl_text": null, "repetition": 0.3333333333333333, "dictionary_words": null, "language": "en", "readability": 0.75, "verdict": "readable", "runaway": 0.125}');
INSERT INTO "completions" VALUES(3,1,2,'a944adc1aa25ab43e747005319da2c59b779d155ced5506394177034cf473e55','vector','first','cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd',3,-8.5,7,'{"user": "How?", "system": "Be kind.", "template": true}',0,'Like this: 🙂
',5,1,'tiny','abababababababababababababababababababababababababababababababab','float32',40,0.7,0.9,1099511627776,'2026-11-01 00:00:00.000000','{"version": 1, "logprob": -1.25, "loss": 0.1, "kl_prompt": 2.0, "kl_text": null, "repetition": 0.3333333333333333, "dictionary_words": null, "language": "en", "readability": 0.75, "verdict": "readable", "runaway": 0.125}');
INSERT INTO "completions" VALUES(4,1,3,'7dd88d9c49b4f5c0267f9c7a7cac37732e910c0c02b06c9dd9846ea77dfdd8b8','vector','first','cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd',3,-8.5,7,'{"user": "Gr\u00fc\u00dfe \ud83d\ude42\n''quoted''", "system": null, "template": false}',1,'Like this: 🙂
',5,1,'tiny','abababababababababababababababababababababababababababababababab','float32',40,0.7,0.9,1099511627776,'2026-11-01 00:00:00.000000','{"version": 1, "logprob": -1.25, "loss": 0.1, "kl_prompt": 2.0, "kl_text": null, "repetition": 0.3333333333333333, "dictionary_words": null, "language": "en", "readability": 0.75, "verdict": "readable", "runaway": 0.125}');
INSERT INTO "completions" VALUES(5,2,0,'ec4fd2b04c54f626a1c7ca5c54986d6cf67c16d43ed6589387923f558b3fee55','baseline',NULL,NULL,NULL,0.0,NULL,'{"user": "How?", "system": "Be kind.", "template": true}',0,'Like this: 🙂
',5,1,'tiny','abababababababababababababababababababababababababababababababab',NULL,40,0.7,0.9,1099511627776,'2026-11-01 00:00:00.000000','{"version": 1, "logprob": -1.25, "loss": 0.1, "kl_prompt": 2.0, "kl_text": null, "repetition": 0.3333333333333333, "dictionary_words": null, "language": "en", "readability": 0.75, "verdict": "readable", "runaway": 0.125}');
INSERT INTO "completions" VALUES(6,2,1,'4be5437d59c0227d8ba27dfd4ecc844d39d5fbfff796e0d0d3dc514bd9b2e65d','vector','first','cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd',3,-8.5,7,'{"user": "How?", "system": "Be kind.", "template": true}',0,'',5,1,'/home/other','efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef','float32',40,0.7,0.9,1099511627776,'2026-11-01 00:00:00.000000','{"version": 1, "logprob": -1.25, "loss": 0.1, "kl_prompt": 2.0, "kl_text": null, "repetition": 0.3333333333333333, "dictionary_words": null, "language": "en", "readability": 0.75, "verdict": "readable", "runaway": 0.125}');
INSERT INTO "completions" VALUES(7,3,0,'0a8fdc700e98bec0cd8de2e25733e56af333f6068d675fdcb540fcd09273f479','vector','first','cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd',0,-8.5,7,'{"user": "How?", "system": "Be kind.", "template": true}',0,'another',5,1,'tiny','abababababababababababababababababababababababababababababababab','float32',40,0.7,0.9,1099511627776,'2026-11-01 00:00:00.000000','{"version": 1, "logprob": -1.25, "loss": 0.1, "kl_prompt": 2.0, "kl_text": null, "repetition": 0.3333333333333333, "dictionary_words": null, "language": "en", "readability": 0.75, "verdict": "readable", "runaway": 0.125}');
CREATE TABLE labels (
	id INTEGER NOT NULL,
	bank VARCHAR(200) NOT NULL,
	bank_hash VARCHAR(64) NOT NULL,
	vector INTEGER NOT NULL,
	name VARCHAR(120) NOT NULL,
	rating INTEGER,
	note TEXT NOT NULL,
	updated DATETIME NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (bank_hash, vector)
);
INSERT INTO "labels" VALUES(1,'first','cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd',3,'kind',4,'two
lines','2026-11-01 16:00:00.000000');
INSERT INTO "labels" VALUES(2,'first','cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd',0,'',NULL,'a note alone','2026-11-01 17:00:00.000000');
CREATE TABLE tags (
	label_id INTEGER NOT NULL,
	tag VARCHAR(40) NOT NULL,
	PRIMARY KEY (label_id, tag),
	FOREIGN KEY(label_id) REFERENCES labels (id) ON DELETE CASCADE
);
INSERT INTO "tags" VALUES(1,'a');
INSERT INTO "tags" VALUES(1,'b');
CREATE INDEX ix_completions_key ON completions ("key");
CREATE INDEX ix_completions_comparison_id ON completions (comparison_id);
CREATE INDEX ix_completions_bank_hash ON completions (bank_hash);
CREATE INDEX ix_tags_tag ON tags (tag);
COMMIT;
PRAGMA user_version=2;
