/** The same as bare DuckDB does it: `duck.ts <job> <file> <threads>`. Says how many keys. */
import { DuckDBInstance } from "@duckdb/node-api";
import { JOBS, type JobName } from "./jobs.ts";

const [job, file, threads] = process.argv.slice(2) as [JobName, string, string];
const begun = process.cpuUsage();
const began = performance.now();
const instance = await DuckDBInstance.create(":memory:", { threads });
const connection = await instance.connect();
const records = {
  sum: `read_json('${file}', format = 'newline_delimited', columns = {"user": 'VARCHAR', amount: 'BIGINT'})`,
  words: `read_csv('${file}', header = false, auto_detect = false, delim = '\\0', quote = '', escape = '', columns = {line: 'VARCHAR'})`,
}[job];
await connection.run(`CREATE VIEW records AS SELECT * FROM ${records}`);
const keys = (await connection.runAndReadAll(JOBS[job].query.sql)).getRows().length;
const { user, system } = process.cpuUsage(begun);
const wall = (performance.now() - began) / 1000;
process.stdout.write(JSON.stringify({ keys, cpu: (user + system) / 1e6, wall }));
