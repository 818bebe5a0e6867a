/** The package has no types of its own. */
declare module "tablestore" {
  const tablestore: import("./tablestore-client.ts").TablestoreModule;
  export default tablestore;
}
