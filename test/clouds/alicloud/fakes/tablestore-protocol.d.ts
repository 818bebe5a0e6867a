/** Generated code of the vendor's client. */
declare module "tablestore/lib/protocol/tablestore_compiled_proto.js" {
  const protos: unknown;
  export default protos;
}
