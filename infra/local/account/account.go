// Package account names the AWS account of one machine.
package account

// ID owns everything: it is the account of the servers that are started, DynamoDB, SNS and SQS.
const ID = "000000000000"
