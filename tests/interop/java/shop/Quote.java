package shop;

public record Quote(int price) {}
